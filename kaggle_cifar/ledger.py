"""All runs and submissions beside each other: what was reached, and what it was worth."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.inference import standard_error
from kaggle_cifar.outline import Outline, has_validation, read_outline
from kaggle_cifar.progress import duration
from kaggle_cifar.remote import remote_sessions
from kaggle_cifar.remote.sessions import Session
from kaggle_cifar.runs import Run, all_runs
from kaggle_cifar.storage import Layout
from kaggle_cifar.submission_record import MAYBE_SENT, all_entries, state_of

HEADER = ("run", "recipe", "epochs", "validation accuracy", "time", "parameters")


def describe_runs(layout: Layout) -> str:
    """Return the table of runs, the spread of those that differ in the seed only, the damage."""
    runs = [read_outline(run) for run in all_runs(layout)]
    missing = [sentence for run in runs for sentence in run.missing]
    try:
        remote = remote_sessions(layout)
    except UserError as error:
        remote = []
        missing.append(str(error))
    rows = [*map(run_row, runs), *(remote_row(*session) for session in remote)]
    if not rows:
        none = f"There are no runs in {layout.runs} yet. `kaggle-cifar train` makes one."
        return "\n".join([none, *missing])
    return "\n".join([table(HEADER, rows), *seed_sweeps(runs), *missing])


def describe_standing(runs: Sequence[Run]) -> str:
    """Return the table of runs that are being trained."""
    return table(HEADER, [run_row(read_outline(run)) for run in runs if run.recipe_file.exists()])


def remote_row(run: Run, session: Session) -> Sequence[str]:
    """Return the cells of a run that is trained on Kaggle."""
    return (run.name, read_outline(run).recipe_name, f"{session.state} on Kaggle", "", "", "")


def run_row(run: Outline) -> Sequence[str]:
    """Return a run's cells; those of an unfinished one tell how far it is."""
    parameters = run.metrics.get("parameters")
    return (
        run.name,
        run.recipe_name,
        run.progress,
        validation_accuracy(run.metrics) if run.run.finished else best_so_far(run.history),
        duration(run.seconds),
        f"{parameters:,}" if parameters else "",
    )


def best_so_far(history: list[dict[str, Any]]) -> str:
    """Return the highest validation accuracy of an unfinished run."""
    accuracies = [row.get("val_accuracy") for row in history]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return f"{max(known):.4f} so far" if known else ""


def validation_accuracy(metrics: dict[str, Any]) -> str:
    """Return a finished run's validation accuracy with its standard error."""
    if not has_validation(metrics):
        return "none: trained on all" if metrics.get("validation_images") == 0 else ""
    accuracy = metrics["validation_accuracy"]
    return f"{accuracy:.4f} ± {standard_error(accuracy, metrics['validation_images']):.4f}"


def seed_sweeps(runs: Iterable[Outline]) -> list[str]:
    """Return a line for each group of finished runs that differ in their seed only."""
    groups: dict[str, dict[Any, float]] = {}
    for run in runs:
        if has_validation(run.metrics) and run.recipe:
            group = groups.setdefault(without_seed(run), {})
            # A seed counts once.
            group[run.options.get("seed")] = run.metrics["validation_accuracy"]
    return [
        f"{json.loads(key)[0].get('name')}, {len(group)} seeds: "
        f"{mean_and_spread(list(group.values()))}"
        for key, group in groups.items()
        if len(group) > 1
    ]


def without_seed(run: Outline) -> str:
    """Return a text that is the same for runs that differ in their seed only."""
    return json.dumps([run.recipe, {**run.options, "seed": None}], sort_keys=True)


def mean_and_spread(accuracies: Sequence[float]) -> str:
    """Return the mean of accuracies and how far single ones lie from it."""
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    return f"mean validation accuracy {mean:.4f}, standard deviation {spread:.4f}"


def describe_submissions(layout: Layout) -> str:
    """Return the table of submissions, and a sentence for each record that cannot be read."""
    header = ("submission", "validation", "public", "private", "status", "submitted (UTC)")
    entries, problems = all_entries(layout.submissions)
    rows = [submission_row(layout, entry) for entry in entries if state_of(entry) in MAYBE_SENT]
    return "\n".join([*([table(header, rows)] if rows else []), *problems])


def submission_row(layout: Layout, entry: dict[str, Any]) -> Sequence[str]:
    """Return a submission's cells; a single run's validation accuracy, several runs' mean."""
    runs = [read_outline(Run(layout.runs / run)).metrics for run in entry.get("runs", [])]
    accuracies = [metrics["validation_accuracy"] for metrics in runs if has_validation(metrics)]
    validation = f"{statistics.mean(accuracies):.4f}" if accuracies else ""
    if len(accuracies) > 1:
        validation += f" (mean of {len(accuracies)})"
    scores = (entry.get("public_score") or "", entry.get("private_score") or "")
    submitted_at = (entry.get("submitted_at") or "").replace("T", " ").partition("+")[0]
    name = entry["file"].removesuffix(".csv")
    return (name, validation, *scores, state_of(entry).lower(), submitted_at)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines of aligned cells under their header."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
