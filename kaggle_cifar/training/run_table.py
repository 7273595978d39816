"""Runs as rows of a table, and the spread of those that differ in their seed only."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from kaggle_cifar.console import duration, table
from kaggle_cifar.models.inference import standard_error
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import RunSummary, has_validation, read_run_summary

HEADER = ("run", "recipe", "epochs", "validation accuracy", "time", "parameters")


def describe_standing(runs: Sequence[Run]) -> str:
    """Return the table of runs that are being trained."""
    return table(
        HEADER, [run_row(read_run_summary(run)) for run in runs if run.description_file.exists()]
    )


def run_row(run: RunSummary) -> Sequence[str]:
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


def seed_sweeps(runs: Iterable[RunSummary]) -> list[str]:
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


def without_seed(run: RunSummary) -> str:
    """Return a text that is the same for runs that differ in their seed only."""
    return json.dumps([run.recipe, {**run.options, "seed": None}], sort_keys=True)


def mean_and_spread(accuracies: Sequence[float]) -> str:
    """Return the mean of accuracies and how far single ones lie from it."""
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    return f"mean validation accuracy {mean:.4f}, standard deviation {spread:.4f}"
