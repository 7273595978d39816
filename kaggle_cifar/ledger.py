"""All runs and submissions beside each other: what was reached, and what it was worth."""

import dataclasses
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from kaggle_cifar.progress import duration
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote import remote_sessions
from kaggle_cifar.remote.sessions import Session
from kaggle_cifar.runs import Run, RunOptions, all_runs
from kaggle_cifar.storage import Layout
from kaggle_cifar.submission import read_record


def describe_runs(layout: Layout) -> str:
    """Return the table of runs, and the mean and spread of those that differ in the seed only."""
    header = ("run", "recipe", "epochs", "validation accuracy", "time", "parameters")
    runs = all_runs(layout)
    rows = [*map(run_row, runs), *(remote_row(*remote) for remote in remote_sessions(layout))]
    if not rows:
        return f"There are no runs in {layout.runs} yet. `kaggle-cifar train` makes one."
    return "\n".join([table(header, rows), *seed_sweeps(runs)])


def remote_row(run: Run, session: Session) -> Sequence[str]:
    """Return the cells of a run that is trained on Kaggle."""
    recipe, _ = run.read_recipe()
    return (run.name, recipe.name, f"{session.state} on Kaggle", "", "", "")


def run_row(run: Run) -> Sequence[str]:
    """Return a run's cells; those of an unfinished one tell how far it is."""
    recipe, _ = run.read_recipe()
    if not run.finished:
        history = run.read_history()
        seconds = sum(row["seconds"] for row in history)
        progress = f"{len(history)} of {math.ceil(recipe.epochs)}, unfinished"
        return (run.name, recipe.name, progress, best_so_far(history), duration(seconds), "")
    metrics = run.read_metrics()
    return (
        run.name,
        recipe.name,
        str(metrics["epochs"]),
        validation_accuracy(metrics),
        duration(metrics["seconds"]),
        f"{metrics['parameters']:,}",
    )


def best_so_far(history: list[dict[str, Any]]) -> str:
    """Return the highest validation accuracy of an unfinished run."""
    accuracies = [row["val_accuracy"] for row in history if row["val_accuracy"] is not None]
    return f"{max(accuracies):.4f} so far" if accuracies else ""


def validation_accuracy(metrics: dict[str, Any]) -> str:
    """Return a finished run's validation accuracy with its standard error."""
    if not metrics["validation_images"]:
        return "none: trained on all"
    return f"{metrics['validation_accuracy']:.4f} ± {metrics['validation_standard_error']:.4f}"


def seed_sweeps(runs: Iterable[Run]) -> list[str]:
    """Return a line for each group of finished runs that differ in their seed only."""
    groups: dict[str, dict[int, float]] = {}
    for run in runs:
        if run.finished and "validation_accuracy" in (metrics := run.read_metrics()):
            recipe, options = run.read_recipe()
            group = groups.setdefault(without_seed(recipe, options), {})
            group[options.seed] = metrics["validation_accuracy"]  # a seed counts once
    return [
        f"{json.loads(key)[0]['name']}, {len(group)} seeds: {mean_and_spread(list(group.values()))}"
        for key, group in groups.items()
        if len(group) > 1
    ]


def without_seed(recipe: Recipe, options: RunOptions) -> str:
    """Return a text that is the same for runs that differ in their seed only."""
    return json.dumps(
        [dataclasses.asdict(part) for part in (recipe, dataclasses.replace(options, seed=0))]
    )


def mean_and_spread(accuracies: Sequence[float]) -> str:
    """Return the mean of accuracies and how far single ones lie from it."""
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    return f"mean validation accuracy {mean:.4f}, standard deviation {spread:.4f}"


def describe_submissions(layout: Layout) -> str:
    """Return the table of submissions made: the validation accuracy beside Kaggle's scores."""
    header = ("submission", "validation", "public", "private", "status", "submitted (UTC)")
    rows = [
        submission_row(layout, csv.stem, record)
        for csv in sorted(layout.submissions.glob("*.csv"))
        if (record := read_record(csv)).get("submitted_at")
    ]
    return table(header, rows) if rows else ""


def submission_row(layout: Layout, name: str, record: dict[str, Any]) -> Sequence[str]:
    """Return a submission's cells; a single run's validation accuracy, several runs' mean."""
    runs = [Run(layout.runs / run) for run in record.get("runs", [])]
    accuracies = [
        run.read_metrics()["validation_accuracy"]
        for run in runs
        if run.finished and "validation_accuracy" in run.read_metrics()
    ]
    validation = f"{statistics.mean(accuracies):.4f}" if accuracies else ""
    if len(accuracies) > 1:
        validation += f" (mean of {len(accuracies)})"
    scores = (record.get("public_score") or "", record.get("private_score") or "")
    submitted_at = record["submitted_at"].replace("T", " ").partition("+")[0]
    return (name, validation, *scores, (record.get("status") or "").lower(), submitted_at)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return lines of aligned cells under their header."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
