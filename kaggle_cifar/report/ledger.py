"""The table of all runs and the table of all submissions, for a terminal."""

import statistics
from collections.abc import Sequence
from typing import Any

from kaggle_cifar.console import table
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.remote.sessions import Session
from kaggle_cifar.remote.train import remote_sessions
from kaggle_cifar.submission.record import MAYBE_SENT, all_entries, state_of
from kaggle_cifar.training.find_runs import all_runs
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import has_validation, read_run_summary
from kaggle_cifar.training.run_table import HEADER, run_cells, seed_statistics


def describe_runs(project: ProjectPaths) -> str:
    """Return the table of runs, the spread of those that differ in the seed only, the damage."""
    runs = [read_run_summary(run) for run in all_runs(project)]
    missing = [sentence for run in runs for sentence in run.missing]
    try:
        remote = remote_sessions(project)
    except UserError as error:
        remote = []
        missing.append(str(error))
    rows = [*map(run_cells, runs), *(remote_row(*session) for session in remote)]
    if not rows:
        none = f"There are no runs in {project.runs} yet. `kaggle-cifar train` makes one."
        return "\n".join([none, *missing])
    return "\n".join([table(HEADER, rows), *seed_statistics(runs), *missing])


def remote_row(run: Run, session: Session) -> Sequence[str]:
    """Return the cells of a run that is trained on Kaggle."""
    return (run.name, read_run_summary(run).recipe_name, f"{session.state} on Kaggle", "", "", "")


def describe_submissions(project: ProjectPaths) -> str:
    """Return the table of submissions, and a sentence for each record that cannot be read."""
    header = ("submission", "validation", "public", "private", "status", "submitted (UTC)")
    entries, problems = all_entries(project.submissions)
    rows = [submission_row(project, entry) for entry in entries if state_of(entry) in MAYBE_SENT]
    return "\n".join([*([table(header, rows)] if rows else []), *problems])


def submission_row(project: ProjectPaths, entry: dict[str, Any]) -> Sequence[str]:
    """Return a submission's cells; a single run's validation accuracy, several runs' mean."""
    runs = [read_run_summary(Run(project.runs / run)).metrics for run in entry.get("runs", [])]
    accuracies = [metrics["validation_accuracy"] for metrics in runs if has_validation(metrics)]
    validation = f"{statistics.mean(accuracies):.4f}" if accuracies else ""
    if len(accuracies) > 1:
        validation += f" (mean of {len(accuracies)})"
    scores = (entry.get("public_score") or "", entry.get("private_score") or "")
    submitted_at = (entry.get("submitted_at") or "").replace("T", " ").partition("+")[0]
    name = entry["file"].removesuffix(".csv")
    return (name, validation, *scores, state_of(entry).lower(), submitted_at)
