"""A run's folder to all that a page shows, and a sentence for each thing that is missing."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kaggle_cifar.competition import TRAIN_LABELS
from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.metrics import Predictions
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.prediction.predict import how_to_predict, read_key
from kaggle_cifar.report.training_command import resuming_command, validating_command
from kaggle_cifar.submission.record import all_entries
from kaggle_cifar.training.run import Run, how_to_replace
from kaggle_cifar.training.run_summary import RunSummary, read_run_summary


@dataclass
class Findings(RunSummary):
    """The contents of a run's folder; `missing` says why something is empty or None."""

    environment: dict[str, Any] = field(default_factory=dict)
    validation: Predictions | None = None
    test: np.ndarray | None = None  # of dtype inference.PROBABILITIES, by ascending id
    test_views: str = "plain"  # the one of inference.VIEWS that the test images were predicted by
    submissions: list[dict[str, Any]] = field(default_factory=list)


def read_run(project: ProjectPaths, run: Run) -> Findings:
    """Return the contents of a run's folder; it computes nothing and raises nothing."""
    found = read_summary(project, run)
    found.environment = found.attempt(run.read_environment, {})
    if not run.finished:
        if not run.has_result:
            found.missing.append(
                f"The run is unfinished: {len(found.history)} of {found.planned} done. Run "
                f"`{resuming_command(project, found)}` to resume it."
            )
        return found
    if not found.history and run.history_file.is_file():
        found.missing.append(
            f"{run.history_file} has no epochs, so there are no curves. "
            f"{how_to_replace(run.history_file)}"
        )
    found.validation = found.attempt(lambda: read_validation(project, found), None)
    found.test_views = "tta" if run.probabilities_file("test", "tta").exists() else "plain"
    found.test = found.attempt(lambda: read_test(project, run, found.test_views), None)
    return found


def read_summary(project: ProjectPaths, run: Run) -> Findings:
    """Return what the small files say about a run: enough for its row of a table."""
    found = Findings(**vars(read_run_summary(run)))
    entries, problems = all_entries(project.submissions)
    found.submissions = [entry for entry in entries if run.name in entry.get("runs", [])]
    found.missing += problems
    return found


def read_validation(project: ProjectPaths, found: Findings) -> Predictions:
    """Return a finished run's predictions of its validation images.

    Raises
    ------
    UserError
        If there are none, or the labels are missing or have changed since the training.
    """
    file = found.run.probabilities_file("validation", "plain")
    if found.options.get("validation") == "none":
        raise UserError(
            "The run was trained on all images, so only Kaggle can measure it. Run "
            f"`{validating_command(project, found)}` to train it with a validation set."
        )
    if not file.exists():
        raise UserError(
            f"{file} is missing, so the page has no mistakes and no calibration. "
            f"{how_to_replace(file)}"
        )
    rows = np.sort(read_probabilities(file, how_to_replace(file)), order="id")
    labels = labels_of(project, rows["id"])
    predictions = Predictions(rows["id"], labels, rows["probabilities"])
    known = found.metrics.get("validation_accuracy")
    if not len(rows) or (isinstance(known, float) and abs(predictions.accuracy - known) > 1e-6):
        raise UserError(
            f"{file} and {project.raw / TRAIN_LABELS} do not give the accuracy in "
            f"{found.run.metrics_file}: the probabilities or the labels have changed since the "
            "training. Restore them, or use --data-dir for another data folder."
        )
    return predictions


def read_test(project: ProjectPaths, run: Run, views: str) -> np.ndarray:
    """Return a finished run's probabilities of the test images by ascending id.

    Raises
    ------
    UserError
        If there are none, or other weights predicted them.
    """
    file = run.probabilities_file("test", views)
    again = how_to_predict(project, run, views)
    if not file.exists():
        raise UserError(f"{file} is missing: the test images are not predicted yet. {again}")
    weights = read_key(project, run, views).get("weights_sha256")
    if weights and run.weights_file.exists() and weights != run.weights_sha256():
        raise UserError(f"{file} was predicted with other weights than the run's. {again}")
    remedy = how_to_predict(project, run, views, damaged=file)
    return np.sort(read_probabilities(file, remedy), order="id")
