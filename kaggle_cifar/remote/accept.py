"""Check a run that was downloaded from Kaggle and move it to its place."""

from collections.abc import Sequence

import numpy as np

from kaggle_cifar.console import say
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, explain_os_error, read_json, sync, write_json
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.sessions import Session, downloaded_run, remove_session, restart_advice
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_settings import check_finished, with_fitted_epochs


class RejectedRunError(UserError):
    """A downloaded run is not the one that was requested; its cause says why."""


class PredictionsError(UserError):
    """The predictions of a downloaded run are not those of its weights and images."""


def accept_run(
    project: ProjectPaths,
    remote: Run,
    session: Session,
    run: Run,
    recipe: Recipe,
    options: RunOptions,
) -> None:
    """Check a downloaded run and move it to its place.

    Raises
    ------
    RejectedRunError
        If it is not the run that was requested, or cannot be used.
    """
    try:
        check_run(project, downloaded_run(remote), recipe, options, session.views)
    except UserError as error:
        message = f"The run from Kaggle was rejected: {error} {restart_advice(remote)}"
        raise RejectedRunError(message) from error
    move_into_place(remote, session, run)


def check_run(
    project: ProjectPaths, run: Run, recipe: Recipe, options: RunOptions, views: Sequence[str]
) -> None:
    """Raise a UserError unless a downloaded run was requested and can be used.

    `views` are those of inference.VIEWS in which its test images were to be predicted.
    """
    if not check_finished(run, with_fitted_epochs(run, recipe, options), options):
        raise UserError(f"{run.name} is not finished.")
    start_tensorflow()
    run.load_model()
    expected = run.read_metrics()["validation_images"]
    if expected:
        ids = read_probabilities(run.probabilities_file("validation", "plain"))["id"]
        if len(np.unique(ids)) != expected or len(ids) != expected:
            raise PredictionsError(
                f"Expected predictions of {expected:,} validation images, found {len(ids):,} of "
                f"{len(np.unique(ids)):,} images."
            )
    for one in views:
        check_predictions(project, run, one)


def check_predictions(project: ProjectPaths, run: Run, views: str) -> None:
    """Raise a PredictionsError unless a run has its own prediction of each test image."""
    file = run.probabilities_file("test", views)
    rows, ids = read_probabilities(file), submission_ids(project)
    if not np.array_equal(rows["id"], ids):
        raise PredictionsError(
            f"Expected predictions of the competition's {len(ids):,} test images, found "
            f"{len(rows):,} with other ids."
        )
    if read_json(file.with_suffix(".json"))["weights_sha256"] != run.weights_sha256():
        raise PredictionsError("The predictions were made by other weights.")


def move_into_place(remote: Run, session: Session, run: Run) -> None:
    """Move a checked run to its place in one step, with a record of its session."""
    downloaded = downloaded_run(remote)
    origin = {"kernel": session.url, "accelerator": session.accelerator, "sessions": session.number}
    write_json(downloaded.folder / "remote.json", origin)
    try:
        for path in downloaded.folder.rglob("*"):
            sync(path)
        downloaded.folder.replace(run.folder)
        sync(run.folder.parent)
    except OSError as error:
        raise explain_os_error(error, run.folder) from error
    remove_session(remote)
    sessions = "1 session" if session.number == 1 else f"{session.number} sessions"
    say(f"Downloaded {run.folder}, trained on Kaggle in {sessions}.")
