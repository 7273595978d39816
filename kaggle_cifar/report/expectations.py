"""The scores to expect of runs and of submissions."""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.expected_score import TYPICAL_SEED_SPREAD, ExpectedScore
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.prediction.ensemble import compare_members
from kaggle_cifar.training.find_runs import all_runs
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import RunSummary, has_validation, read_run_summary
from kaggle_cifar.training.run_table import seed_groups, without_seed

ACCURACY = {"plain": "validation_accuracy", "tta": "validation_accuracy_tta"}  # metrics by views
FEWEST_SEEDS = 3  # two say too little about their spread
NEIGHBOURS = 2  # epochs on each side of the chosen one


@dataclass(frozen=True)
class Expectations:
    """The expected scores of a project's runs and of the submissions made from them."""

    project: ProjectPaths
    runs: Mapping[str, RunSummary]  # by name

    @classmethod
    def of(cls, project: ProjectPaths, runs: Iterable[RunSummary]) -> "Expectations":
        """Return the expectations of all runs of a project, which were read before."""
        return cls(project, {run.name: run for run in runs})

    @classmethod
    def read(cls, project: ProjectPaths) -> "Expectations":
        """Return the expectations of all runs of a project."""
        return cls.of(project, map(read_run_summary, all_runs(project)))

    def of_run(self, name: str, views: str = "plain") -> ExpectedScore | None:
        """Return the expected score of a run; None if it was not measured.

        `views` is one of inference.VIEWS.
        """
        run, key = self.runs.get(name), ACCURACY.get(views, "")
        if run is None or not has_validation(run.metrics) or key not in run.metrics:
            return None
        accuracy, count = run.metrics[key], run.metrics["validation_images"]
        return ExpectedScore(accuracy, count, *self._seed_spread(run, key), epoch_gain(run))

    def of_submission(self, entry: Mapping[str, Any]) -> ExpectedScore | None:
        """Return the expected score of an entry of a record; None if it cannot be measured."""
        names, views = entry.get("runs", []), str(entry.get("views", "plain"))
        parts = [part for name in names if (part := self.of_run(name, views))]
        if not parts or len(parts) < len(names):
            return None
        if len(parts) == 1:
            return parts[0]
        measured = self._measure_ensemble(entry, views)
        if not measured:
            return None
        # The mean of independent seeds spreads less than each of them.
        spread = math.sqrt(sum(part.seed_spread**2 for part in parts)) / len(parts)
        gain = statistics.mean(part.epoch_gain for part in parts)
        return ExpectedScore(*measured, spread, min(part.seeds for part in parts), gain)

    @cached_property
    def _seed_groups(self) -> dict[str, list[RunSummary]]:
        return seed_groups(self.runs.values())

    def _seed_spread(self, run: RunSummary, key: str) -> tuple[float, int]:
        """Return the standard deviation over a run's seeds, and their number or 0."""
        group = self._seed_groups.get(without_seed(run), [])
        accuracies = [part.metrics[key] for part in group if key in part.metrics]
        if len(accuracies) < FEWEST_SEEDS:
            return TYPICAL_SEED_SPREAD, 0
        return statistics.stdev(accuracies), len(accuracies)

    def _measure_ensemble(self, entry: Mapping[str, Any], views: str) -> tuple[float, int] | None:
        """Return an ensemble's accuracy on common validation images, and their number."""
        runs = [Run(self.project.runs / name) for name in entry["runs"]]
        try:
            comparison = compare_members(self.project, runs, views)
            weights = dict(zip(runs, map(float, entry["ensemble_weights"]), strict=True))
        except (UserError, KeyError, TypeError, ValueError):
            return None
        shares = np.array([sum(weights[run] for run in part.runs) for part in comparison.members])
        return comparison.accuracy(shares), len(comparison.labels)


def epoch_gain(run: RunSummary) -> float:
    """Return by how much the chosen epoch stands out on the validation images.

    That is its accuracy minus the mean of up to NEIGHBOURS epochs on each side, or 0 if it is
    lower, or if the recipe keeps the last epoch whatever its accuracy.
    """
    if not run.recipe.get("early_stopping"):
        return 0.0
    best = run.metrics.get("best_epoch", 0)
    around: dict[int, float] = {
        row["epoch"]: row["val_accuracy"]
        for row in run.history
        if abs(row["epoch"] - best) <= NEIGHBOURS and row.get("val_accuracy") is not None
    }
    chosen = around.pop(best, None)
    if chosen is None or not around:
        return 0.0
    return max(0.0, chosen - statistics.mean(around.values()))
