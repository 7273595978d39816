"""Tables of runs and of submissions, as the pages share them."""

import re
from collections.abc import Iterable
from typing import Any

from kaggle_cifar.outline import has_validation
from kaggle_cifar.progress import duration
from kaggle_cifar.report import analysis
from kaggle_cifar.report.elements import Cell, Table
from kaggle_cifar.report.reading import Findings


def runs_table(found: Iterable[Findings], links: dict[str, str]) -> Table:
    """Return a line on each run."""
    header = (
        "run",
        "recipe",
        "validation accuracy",
        "95 % interval",
        "training accuracy",
        "epochs",
        "time",
        "parameters",
        "seed",
        "public score",
    )
    return Table("Runs", header, [run_row(part, links.get(part.name)) for part in found])


def run_row(found: Findings, link: str | None) -> tuple[Cell, ...]:
    """Return a run's cells; those of an unfinished one tell how far it is."""
    metrics = found.metrics
    parameters, seed = metrics.get("parameters"), found.options.get("seed")
    return (
        Cell(found.name, link=link),
        Cell(found.recipe_name),
        *accuracy_cells(metrics),
        accuracy_cell(metrics.get("train_accuracy")),
        epochs_cell(found),
        Cell(duration(found.seconds), found.seconds),
        Cell(f"{parameters:,}", parameters) if parameters else Cell(""),
        Cell("") if seed is None else Cell(str(seed), seed),
        best_score(found.submissions),
    )


def accuracy_cells(metrics: dict[str, Any]) -> tuple[Cell, Cell]:
    """Return a run's validation accuracy and its interval."""
    if not has_validation(metrics):
        trained_on_all = metrics.get("validation_images") == 0
        return Cell("trained on all" if trained_on_all else ""), Cell("")
    accuracy = metrics["validation_accuracy"]
    low, high = analysis.wilson_interval(accuracy, metrics["validation_images"])
    return accuracy_cell(accuracy), Cell(f"{low:.4f} to {high:.4f}", low)


def accuracy_cell(accuracy: float | None) -> Cell:
    """Return the cell of an accuracy."""
    return Cell("") if accuracy is None else Cell(f"{accuracy:.4f}", accuracy)


def epochs_cell(found: Findings) -> Cell:
    """Return how many epochs are done, and of how many where the run is not finished."""
    return Cell(found.progress, found.epochs)


def submissions_table(records: list[dict[str, Any]]) -> Table:
    """Return the submissions with their state and scores."""
    header = ("submission", "runs", "state", "public score", "private score", "submitted (UTC)")
    return Table("Submissions", header, [submission_row(record) for record in records])


def submission_row(record: dict[str, Any]) -> tuple[Cell, ...]:
    """Return a submission's cells."""
    submitted = str(record.get("submitted_at") or "")
    state = str(record.get("status") or "").lower() or ("sent" if submitted else "not submitted")
    return (
        Cell(record["file"]),
        Cell(" + ".join(record.get("runs", []))),
        Cell(state),
        score_cell(record.get("public_score")),
        score_cell(record.get("private_score")),
        Cell(submitted.replace("T", " ").partition("+")[0]),
    )


def score_cell(score: Any) -> Cell:
    """Return the cell of one of Kaggle's scores, which are texts."""
    text = str(score or "")
    return Cell(text, float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None)


def best_score(records: list[dict[str, Any]]) -> Cell:
    """Return the highest public score of the submissions that a run predicted alone."""
    cells = [score_cell(r.get("public_score")) for r in records if len(r.get("runs", [])) == 1]
    scored = [cell for cell in cells if cell.value is not None]
    return max(scored, key=lambda cell: cell.value or 0) if scored else Cell("")
