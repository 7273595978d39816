"""The accuracy of several runs together, and the weight of each.

Both are measured on images that no run was trained on: the validation images that all runs have.
Runs of one recipe on different folds are one member, validated on the images of all its folds.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaggle_cifar.console import counted
from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.intervals import Z, paired_difference
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.prediction.predict import equal_weights
from kaggle_cifar.training.run import Run, how_to_replace

EM_STEPS = 200  # the third digit of the weights is stable long before


class NoCommonImagesError(UserError):
    """Members of an ensemble have no validation image in common; `names` has the members."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(names)} were validated on different images, so their ensemble cannot be "
            "measured. Train them with the same --validation."
        )
        self.names = list(names)


class NoValidationError(UserError):
    """A run has no validation probabilities; `path` is the missing file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is missing, so the run's part in an ensemble cannot be measured. Use runs "
            "that were trained with a validation set."
        )
        self.path = path


class DuplicateFoldError(UserError):
    """Two folds have the same validation images; `count` says how many."""

    def __init__(self, name: str, count: int) -> None:
        super().__init__(
            f"{name} were validated on the same {counted(count, 'image')}. Name each fold only "
            "once."
        )
        self.name, self.count = name, count


@dataclass(frozen=True)
class EnsembleMember:
    """A run, or the runs of a recipe on different folds."""

    name: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Comparison:
    """The members' probabilities of the validation images that all of them have."""

    members: list[EnsembleMember]
    labels: np.ndarray  # int (n,)
    probabilities: np.ndarray  # float32 (members, n, 10)

    def accuracies(self) -> np.ndarray:
        """Return each member's accuracy, (members,)."""
        return np.asarray((self.probabilities.argmax(axis=2) == self.labels).mean(axis=1))

    def accuracy(self, weights: np.ndarray) -> float:
        """Return the accuracy of the weighted mean of the members."""
        mean = np.tensordot(weights, self.probabilities, axes=1)
        return float((mean.argmax(axis=1) == self.labels).mean())

    def gain(self, weights: np.ndarray) -> tuple[float, float]:
        """Return the gain of the weighted mean over the best member, and its standard error."""
        mean = np.tensordot(weights, self.probabilities, axes=1)
        best = self.probabilities[self.accuracies().argmax()]
        return paired_difference(*(part.argmax(axis=1) == self.labels for part in (mean, best)))

    def fit_weights(self) -> np.ndarray:
        """Return the members' weights, of sum 1, that give the labels the highest likelihood.

        They are the proportions of a mixture, fitted by expectation maximization. The likelihood
        has one maximum, and each step raises it.
        """
        of_label = self.probabilities[:, np.arange(len(self.labels)), self.labels].astype(float)
        of_label = np.maximum(of_label, np.finfo(np.float32).tiny)
        weights = np.full(len(of_label), 1 / len(of_label))
        for _ in range(EM_STEPS):
            shares = weights[:, None] * of_label
            weights = (shares / shares.sum(axis=0)).mean(axis=1)
        return weights


def weigh(project: ProjectPaths, runs: Sequence[Run], views: str) -> list[float]:
    """Return each run's weight, of sum 1, fitted to the validation images.

    Raises as `compare_members`.
    """
    comparison = compare_members(project, runs, views)
    weights = dict(zip(comparison.members, comparison.fit_weights(), strict=True))
    return [
        float(weight) / len(member.runs)
        for run in runs
        for member, weight in weights.items()
        if run in member.runs
    ]


def describe_gain(
    project: ProjectPaths, runs: Sequence[Run], views: str, weights: Sequence[float] | None
) -> str:
    """Return the accuracy of each member and of the ensemble, or why it cannot be measured."""
    try:
        comparison = compare_members(project, runs, views)
    except UserError as error:
        return f"The gain of the ensemble is unknown: {error}"
    by_run = dict(zip(runs, weights or equal_weights(runs), strict=True))
    shares = np.array([sum(by_run[run] for run in member.runs) for member in comparison.members])
    lines = [f"Accuracy on the {len(comparison.labels):,} validation images that all runs have:"]
    accuracies = comparison.accuracies()
    for member, share, accuracy in zip(comparison.members, shares, accuracies, strict=True):
        lines.append(f"  {accuracy:.4f}  {member.name}, weight {share:.3f}")
    gain, gain_error = comparison.gain(shares)
    fitted = "; the weights were fitted to these images" if weights else ""
    lines.append(
        f"  {accuracies.max() + gain:.4f}  ensemble, {gain:+.4f} ± {Z * gain_error:.4f} (95 %) "
        f"compared with the best{fitted}"
    )
    return "\n".join(lines)


def group_folds(runs: Sequence[Run]) -> list[EnsembleMember]:
    """Return the members of an ensemble of `runs`, in their order."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(fold_group(run), []).append(run)
    return [
        EnsembleMember("+".join(run.name for run in group), tuple(group))
        for group in members.values()
    ]


def fold_group(run: Run) -> str:
    """Return a text that is the same for runs that differ only in their fold."""
    recipe, options = run.read_recipe()
    if not options.validation.startswith("fold"):
        return run.name
    _, _, folds = options.validation.partition("of")
    settings = dataclasses.asdict(recipe)
    if options.time_budget:  # which may allow each fold other epochs
        del settings["epochs"]
    # Recipe and options stay apart, because both have a mixed_precision.
    both = [settings, {**dataclasses.asdict(options), "validation": folds}]
    return json.dumps(both, sort_keys=True)


def compare_members(project: ProjectPaths, runs: Sequence[Run], views: str) -> Comparison:
    """Return the probabilities of the validation images that the runs have in common.

    Raises
    ------
    NoCommonImagesError
        If they have none.
    NoValidationError
        If a run has no validation probabilities in these views.
    DuplicateFoldError
        If two folds have the same images.
    """
    members = group_folds(runs)
    tables = [validation_probabilities(member, views) for member in members]
    ids = tables[0]["id"]
    for table in tables[1:]:
        ids = np.intersect1d(ids, table["id"])
    if not len(ids):
        raise NoCommonImagesError([member.name for member in members])
    rows = [table["probabilities"][np.searchsorted(table["id"], ids)] for table in tables]
    return Comparison(members, labels_of(project, ids), np.stack(rows))


def validation_probabilities(member: EnsembleMember, views: str) -> np.ndarray:
    """Return a member's structured array of `id` and `probabilities`, by ascending id.

    Raises
    ------
    NoValidationError
        If one of its runs has none.
    DuplicateFoldError
        If two of its runs have the same images.
    """
    files = [run.probabilities_file("validation", views) for run in member.runs]
    for file in files:
        if not file.exists():
            raise NoValidationError(file)
    parts = [read_probabilities(file, how_to_replace(file)) for file in files]
    rows = np.sort(np.concatenate(parts), order="id")
    duplicates = int((np.diff(rows["id"]) == 0).sum())
    if duplicates:
        raise DuplicateFoldError(member.name, duplicates)
    return rows
