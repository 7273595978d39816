"""The table of runs and the table of submissions, for the terminal and for the pages."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kaggle_cifar.console import table
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.intervals import score_interval, wilson_interval
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.prediction.ensemble import compare_members
from kaggle_cifar.remote.sessions import Session
from kaggle_cifar.remote.train import remote_sessions
from kaggle_cifar.report.components import Cell, Table
from kaggle_cifar.report.reading import Findings, read_summary
from kaggle_cifar.submission.record import MAYBE_SENT, State, all_entries, state_of
from kaggle_cifar.training.find_runs import all_runs
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import has_validation, read_run_summary
from kaggle_cifar.training.run_table import HEADER, run_cells, seed_statistics

# Runs


def describe_runs(project: ProjectPaths) -> str:
    """Return the table of all runs, the spread over seeds, and what is missing or damaged."""
    runs = [read_run_summary(run) for run in all_runs(project)]
    missing = [sentence for run in runs for sentence in run.missing]
    try:
        remote = remote_sessions(project)
    except UserError as error:
        remote = []
        missing.append(str(error))
    rows = [*map(run_cells, runs), *(remote_row(*session) for session in remote)]
    if not rows:
        none = f"There are no runs in {project.runs}. Run `kaggle-cifar train` to train one."
        return "\n".join([none, *missing])
    return "\n".join([table(HEADER, rows), *seed_statistics(runs), *missing])


def remote_row(run: Run, session: Session) -> Sequence[str]:
    """Return the row of a run that is trained on Kaggle."""
    return (run.name, read_run_summary(run).recipe_name, f"{session.state} on Kaggle", "", "", "")


RUN_COLUMNS = (
    "run",
    "recipe",
    "seed",
    "finished",
    "epochs",
    "validation_accuracy",
    "validation_standard_error",
    "validation_accuracy_tta",
    "train_accuracy",
    "seconds",
    "parameters",
    "public_score",
    "private_score",
)


def run_values(project: ProjectPaths) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the values of RUN_COLUMNS of each run, and a sentence for each damaged file.

    A value that is missing or damaged is None.
    """
    found = [read_summary(project, run) for run in all_runs(project)]
    problems = dict.fromkeys(sentence for run in found for sentence in run.missing)
    return [values_of(run) for run in found], list(problems)


def values_of(found: Findings) -> dict[str, Any]:
    """Return the values of RUN_COLUMNS of a run."""
    best = best_submission(found.submissions)
    return {key: found.metrics.get(key) for key in RUN_COLUMNS} | {
        "run": found.name,
        "recipe": found.recipe.get("name"),
        "seed": found.options.get("seed"),
        "finished": found.run.finished,
        "epochs": found.epochs,
        "seconds": found.seconds,
        "public_score": score_cell(best.get("public_score")).value,
        "private_score": score_cell(best.get("private_score")).value,
    }


def runs_table(found: Iterable[Findings], links: Mapping[str, str]) -> Table:
    """Return the table of runs for a page; `links` has the page of each run that has one."""
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
    return Table("Runs", header, [page_row(part, links.get(part.name)) for part in found])


def page_row(found: Findings, link: str | None) -> tuple[Cell, ...]:
    """Return the row of a run for a page: its row for the terminal, and more columns."""
    name, recipe, epochs, _, time, parameters = run_cells(found)
    seed = found.options.get("seed")
    return (
        Cell(name, link=link),
        Cell(recipe),
        *validation_cells(found.metrics),
        accuracy_cell(found.metrics.get("train_accuracy")),
        Cell(epochs, found.epochs),
        Cell(time, found.seconds),
        Cell(parameters, found.metrics.get("parameters")),
        Cell("") if seed is None else Cell(str(seed), seed),
        best_score(found.submissions),
    )


def validation_cells(metrics: dict[str, Any]) -> tuple[Cell, Cell]:
    """Return a run's validation accuracy and its interval."""
    if not has_validation(metrics):
        trained_on_all = metrics.get("validation_images") == 0
        return Cell("trained on all" if trained_on_all else ""), Cell("")
    accuracy = metrics["validation_accuracy"]
    low, high = wilson_interval(accuracy, metrics["validation_images"])
    return accuracy_cell(accuracy), Cell(f"{low:.4f} to {high:.4f}", low)


def accuracy_cell(accuracy: float | None) -> Cell:
    """Return the cell of an accuracy."""
    return Cell("") if accuracy is None else Cell(f"{accuracy:.4f}", accuracy)


def best_score(entries: Iterable[dict[str, Any]]) -> Cell:
    """Return the highest public score of the submissions that a run predicted alone."""
    return score_cell(best_submission(entries).get("public_score"))


def best_submission(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the entry with the highest public score of those that a run predicted alone."""
    scored = [
        (cell.value, entry)
        for entry in entries
        if len(entry.get("runs", [])) == 1
        and (cell := score_cell(entry.get("public_score"))).value is not None
    ]
    return max(scored, key=lambda pair: pair[0] or 0, default=(None, {}))[1]


# Submissions


class SubmissionRow(NamedTuple):
    """A submission in a table, as text."""

    file: str
    runs: str
    state: str
    public_score: str
    private_score: str
    submitted_at: str


def submission_row(entry: dict[str, Any]) -> SubmissionRow:
    """Return the row of a part of a submission's record."""
    state = state_of(entry)
    return SubmissionRow(
        entry["file"],
        " + ".join(entry.get("runs", [])),
        "not submitted" if state is State.WRITTEN else state.lower(),
        entry.get("public_score") or "",
        entry.get("private_score") or "",
        (entry.get("submitted_at") or "").replace("T", " ").partition("+")[0],
    )


def describe_submissions(project: ProjectPaths) -> str:
    """Return the table of submissions, and a sentence for each record that cannot be read."""
    header = ("submission", "validation", "public", "private", "status", "submitted (UTC)")
    entries, problems = all_entries(project.submissions)
    rows = []
    for entry in entries:
        if state_of(entry) in MAYBE_SENT:
            file, _, state, *scores, submitted_at = submission_row(entry)
            accuracy = mean_validation_accuracy(project, entry.get("runs", []))
            rows.append((file.removesuffix(".csv"), accuracy, *scores, state, submitted_at))
    return "\n".join([*([table(header, rows)] if rows else []), *problems])


def mean_validation_accuracy(project: ProjectPaths, names: Iterable[str]) -> str:
    """Return the mean validation accuracy of the runs of a submission as text."""
    metrics = [read_run_summary(Run(project.runs / name)).metrics for name in names]
    accuracies = [part["validation_accuracy"] for part in metrics if has_validation(part)]
    if not accuracies:
        return ""
    mean = f"{statistics.mean(accuracies):.4f}"
    return f"{mean} (mean of {len(accuracies)})" if len(accuracies) > 1 else mean


def expected_score(project: ProjectPaths, entry: dict[str, Any]) -> str:
    """Return the score to expect of a submission, or "" if its runs cannot be measured."""
    runs = [Run(project.runs / name) for name in entry.get("runs", [])]
    if not runs:
        return ""
    try:
        comparison = compare_members(project, runs, entry.get("views", "plain"))
        weights = dict(zip(runs, entry["ensemble_weights"], strict=True))
    except (UserError, KeyError, TypeError, ValueError):
        return ""
    shares = np.array([sum(weights[run] for run in part.runs) for part in comparison.members])
    accuracy, count = comparison.accuracy(shares), len(comparison.labels)
    return score_range(accuracy, count) if count else ""


def score_range(accuracy: float, count: int) -> str:
    """Return the 95 % prediction interval of the score as text."""
    low, high = score_interval(accuracy, count)
    return f"{low:.3f} to {high:.3f}"


def submissions_table(entries: Iterable[dict[str, Any]]) -> Table:
    """Return the table of submissions for a page."""
    header = ("submission", "runs", "state", "public score", "private score", "submitted (UTC)")
    rows = []
    for row in map(submission_row, entries):
        scores = (score_cell(row.public_score), score_cell(row.private_score))
        rows.append((*map(Cell, row[:3]), *scores, Cell(row.submitted_at)))
    return Table("Submissions", header, rows)


def score_cell(score: str | None) -> Cell:
    """Return the cell of one of Kaggle's scores, which are texts."""
    text = score or ""
    return Cell(text, float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None)
