"""What several runs are worth together, and how much each should count.

All is judged on images that no run was trained on: those that all of them were validated on. Runs
of the same recipe on different folds count as one, validated on the folds' images together.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import paired_difference, read_probabilities
from kaggle_cifar.training.run import Run

EM_STEPS = 200  # the weights' third digit stands long before


@dataclass(frozen=True)
class EnsembleMember:
    """A run, or the runs of a recipe on different folds, that an ensemble weighs as one."""

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

    def gain(self, weights: np.ndarray) -> tuple[float, float]:
        """Return what the weighted mean gains on the best member, and its standard error."""
        mean = np.tensordot(weights, self.probabilities, axes=1)
        best = self.probabilities[self.accuracies().argmax()]
        return paired_difference(*(guess.argmax(axis=1) == self.labels for guess in (mean, best)))

    def fit_weights(self) -> np.ndarray:
        """Return the members' weights, sum 1, under which the images' true classes are likeliest.

        These are the proportions of a mixture, found by expectation and maximisation: the
        likelihood has one maximum, and each step raises it.
        """
        of_truth = self.probabilities[:, np.arange(len(self.labels)), self.labels].astype(float)
        of_truth = np.maximum(of_truth, np.finfo(np.float32).tiny)
        weights = np.full(len(of_truth), 1 / len(of_truth))
        for _ in range(EM_STEPS):
            shares = weights[:, None] * of_truth
            weights = (shares / shares.sum(axis=0)).mean(axis=1)
        return weights


def weigh(project: ProjectPaths, runs: Sequence[Run], views: str) -> list[float]:
    """Return each run's weight, sum 1, fitted to the validation images; raises as `compare`."""
    comparison = compare(project, runs, views)
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
    """Return what the runs are worth alone and together, or why that cannot be told."""
    try:
        comparison = compare(project, runs, views)
    except UserError as error:
        return f"The gain of the ensemble is not known: {error}"
    by_run = dict(zip(runs, weights or [1 / len(runs)] * len(runs), strict=True))
    shares = np.array([sum(by_run[run] for run in member.runs) for member in comparison.members])
    lines = [f"On the {len(comparison.labels):,} validation images that all have:"]
    accuracies = comparison.accuracies()
    for member, share, accuracy in zip(comparison.members, shares, accuracies, strict=True):
        lines.append(f"  {accuracy:.4f}  {member.name}, weight {share:.3f}")
    best = accuracies.max()
    gain, spread = comparison.gain(shares)
    together = f"  {best + gain:.4f}  together: {gain:+.4f} ± {spread:.4f} beside the best"
    lines.append(together + ("; the weights were fitted to these images" if weights else ""))
    return "\n".join(lines)


def group(runs: Sequence[Run]) -> list[EnsembleMember]:
    """Return the members of an ensemble of `runs`, in their order."""
    members: dict[str, list[Run]] = {}
    for run in runs:
        members.setdefault(_key(run), []).append(run)
    return [
        EnsembleMember("+".join(run.name for run in group), tuple(group))
        for group in members.values()
    ]


def _key(run: Run) -> str:
    """Return what runs have in common that differ in nothing but their fold."""
    recipe, options = run.read_recipe()
    if not options.validation.startswith("fold"):
        return run.name
    _, _, folds = options.validation.partition("of")
    settings = dataclasses.asdict(recipe)
    if options.time_budget:  # each fold's epochs are what the time allowed it
        del settings["epochs"]
    # Apart, since both have a mixed_precision.
    both = [settings, {**dataclasses.asdict(options), "validation": folds}]
    return json.dumps(both, sort_keys=True)


def compare(project: ProjectPaths, runs: Sequence[Run], views: str) -> Comparison:
    """Return what the runs say of the validation images that they have in common.

    Raises
    ------
    UserError
        When they have none, or a run kept no probabilities in these views.
    """
    members = group(runs)
    tables = [validation_probabilities(member, views) for member in members]
    ids = tables[0]["id"]
    for table in tables[1:]:
        ids = np.intersect1d(ids, table["id"])
    if not len(ids):
        raise UserError(
            f"{', '.join(member.name for member in members)} were validated on different images, "
            "so that nothing tells what they are worth together. Train them with the same "
            "--validation."
        )
    rows = [table["probabilities"][np.searchsorted(table["id"], ids)] for table in tables]
    return Comparison(members, labels_of(project, ids), np.stack(rows))


def validation_probabilities(member: EnsembleMember, views: str) -> np.ndarray:
    """Return a member's structured array of `id` and `probabilities`, ascending.

    Raises
    ------
    UserError
        When a run of it kept none, or two have the same images.
    """
    files = [run.probabilities_file("validation", views) for run in member.runs]
    for file in files:
        if not file.exists():
            raise UserError(
                f"{file} is missing: the run was trained without validation, or before such "
                "files were kept. Nothing tells what it is worth in an ensemble."
            )
    rows = np.sort(np.concatenate([read_probabilities(file) for file in files]), order="id")
    doubled = rows["id"][1:][np.diff(rows["id"]) == 0]
    if len(doubled):
        raise UserError(
            f"{member.name} were validated on the same images ({len(doubled):,} of them). Runs on "
            "folds are taken together when their folds differ: name each fold once."
        )
    return rows
