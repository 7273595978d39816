"""The table of runs, for the terminal and for the pages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kaggle_cifar.console import table
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.intervals import wilson_interval
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.remote.sessions import Session
from kaggle_cifar.remote.train import remote_sessions
from kaggle_cifar.report.components import Cell, Table
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.reading import Findings, read_summary
from kaggle_cifar.report.submission_ledger import score_cell
from kaggle_cifar.submission.leaderboard import (
    parse_score,
    read_leaderboard,
    standing_of,
)
from kaggle_cifar.training.find_runs import all_runs, lost_runs
from kaggle_cifar.training.run import Run, RunFileError
from kaggle_cifar.training.run_summary import has_validation, read_run_summary
from kaggle_cifar.training.run_table import HEADER, run_cells, seed_statistics


def describe_runs(project: ProjectPaths) -> str:
    """Return the table of all runs, the spread over seeds, and what is missing or damaged."""
    runs = [read_run_summary(run) for run in all_runs(project)]
    missing = [sentence for run in runs for sentence in run.missing]
    missing += [RunFileError(run.description_file).message for run in lost_runs(project)]
    try:
        remote = remote_sessions(project)
    except UserError as error:
        remote = []
        missing.append(str(error))
    rows = [*map(run_cells, runs), *(remote_row(*session) for session in remote)]
    if not rows:
        command = project.command("train")
        none = f"There are no runs in {project.runs}. Run `{command}` to train one."
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
    "expected_score_low",
    "expected_score_high",
    "public_score",
    "private_score",
    "rank",
    "gap_to_first",
)


def run_values(project: ProjectPaths) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the values of RUN_COLUMNS of each run, and a sentence for each damaged file.

    A value that is missing or damaged is None.
    """
    found = [read_summary(project, run) for run in all_runs(project)]
    problems = dict.fromkeys(sentence for run in found for sentence in run.missing)
    expectations = Expectations.of(project, found)
    leaderboard = read_leaderboard(project.submissions)
    return [values_of(run, expectations, leaderboard) for run in found], list(problems)


def values_of(
    found: Findings, expectations: Expectations, leaderboard: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of RUN_COLUMNS of a run."""
    best = best_submission(found.submissions)
    expected = expectations.of_run(found.name, best.get("views", "plain"))
    low, high = expected.interval if expected else (None, None)
    standing = standing_of(best, leaderboard)
    return {key: found.metrics.get(key) for key in RUN_COLUMNS} | {
        "run": found.name,
        "recipe": found.recipe.get("name"),
        "seed": found.options.get("seed"),
        "finished": found.run.finished,
        "epochs": found.epochs,
        "seconds": found.seconds,
        "expected_score_low": low,
        "expected_score_high": high,
        "public_score": parse_score(best.get("public_score")),
        "private_score": parse_score(best.get("private_score")),
        "rank": standing.rank if standing else None,
        "gap_to_first": standing.gap if standing else None,
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
        (score, entry)
        for entry in entries
        if len(entry.get("runs", [])) == 1
        and (score := parse_score(entry.get("public_score"))) is not None
    ]
    return max(scored, key=lambda pair: pair[0], default=(None, {}))[1]
