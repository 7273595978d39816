"""The table of runs, and the spread of runs that differ in the seed."""

import json
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from kaggle_cifar.console import duration, table
from kaggle_cifar.evaluation.intervals import half_interval
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import RunSummary, has_validation, read_run_summary

HEADER = ("run", "recipe", "epochs", "validation accuracy ± 95 %", "time", "parameters")


def progress_table(runs: Sequence[Run]) -> str:
    """Return the table of those runs that have been started."""
    return table(
        HEADER, [run_cells(read_run_summary(run)) for run in runs if run.description_file.exists()]
    )


def run_cells(run: RunSummary) -> Sequence[str]:
    """Return the cells of a run; those of an unfinished run show its progress."""
    parameters = run.metrics.get("parameters")
    return (
        run.name,
        run.recipe_name,
        run.progress,
        _validation_accuracy(run.metrics) if run.run.has_result else _best_so_far(run.history),
        duration(run.seconds),
        f"{parameters:,}" if parameters else "",
    )


def _best_so_far(history: list[dict[str, Any]]) -> str:
    """Return the highest validation accuracy of an unfinished run."""
    accuracies = [row.get("val_accuracy") for row in history]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    return f"{max(known):.4f} so far" if known else ""


def _validation_accuracy(metrics: dict[str, Any]) -> str:
    """Return a finished run's validation accuracy with half of its 95 % interval."""
    if not has_validation(metrics):
        return "none: trained on all" if metrics.get("validation_images") == 0 else ""
    accuracy = metrics["validation_accuracy"]
    return f"{accuracy:.4f} ± {half_interval(accuracy, metrics['validation_images']):.4f}"


def seed_statistics(runs: Iterable[RunSummary]) -> list[str]:
    """Return a line for each group of runs that differ in the seed only."""
    return [
        f"{group[0].recipe.get('name')}, {len(group)} seeds: "
        f"{mean_and_spread([run.metrics['validation_accuracy'] for run in group])}"
        for group in seed_groups(runs).values()
        if len(group) > 1
    ]


def seed_groups(runs: Iterable[RunSummary]) -> dict[str, list[RunSummary]]:
    """Return the validated runs by `without_seed`, one run for each seed."""
    groups: dict[str, dict[Any, RunSummary]] = {}
    for run in runs:
        if has_validation(run.metrics) and run.recipe:
            groups.setdefault(without_seed(run), {})[run.options.get("seed")] = run
    return {key: list(group.values()) for key, group in groups.items()}


def without_seed(run: RunSummary) -> str:
    """Return a text that is equal for runs that differ in their seed only."""
    return json.dumps([run.recipe, {**run.options, "seed": None}], sort_keys=True)


def mean_and_spread(accuracies: Sequence[float]) -> str:
    """Return the mean and the standard deviation of accuracies as text."""
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    return f"mean validation accuracy {mean:.4f}, standard deviation {spread:.4f}"
