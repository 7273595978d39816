"""What a session left, brought here: whole, checked, in one step."""

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kaggle_cifar.console import say
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import (
    ProjectPaths,
    explain_os_error,
    read_json,
    sync,
    write_json,
)
from kaggle_cifar.kaggle.client import call
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.ownership import remove_reserved
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.remote.monitor import Log, unhidden
from kaggle_cifar.remote.sessions import (
    Session,
    brought_run,
    forget,
    output_folder,
    record,
    start_anew,
)
from kaggle_cifar.remote.worker import LISTING, digest
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.checkpoint import load_checkpoint
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_settings import check_finished, with_fitted_epochs

TIMED_OUT = r"time ?out|timed out|time limit|exceed"  # in Kaggle's reasons


def is_brought(api: Any, remote: Run, session: Session, failure: str, log: Log) -> bool:
    """Download what an ended session left; tell whether the run is finished and whole.

    Where it is not, what the next session goes on from is written down.

    Raises
    ------
    UserError
        When the session failed or got no further.
    """
    if session.state == "complete":
        state = download(api, remote, session)
        if state == "finished":
            return True
    else:
        state = "stopped" if re.search(TIMED_OUT, failure.lower()) else session.state
        salvage(api, remote, session)
    progress = progress_of(brought_run(remote))
    further = progress > session.progress
    session = dataclasses.replace(session, state=state)
    if further:
        session = dataclasses.replace(session, source=session.kernel, progress=progress)
    record(remote, session)
    if state == "stopped" and further:
        say(f"Session {session.number} ran out of time {describe(progress)}.")
        return False
    raise UserError(explain_end(session, failure, further, log))


def explain_end(session: Session, failure: str, further: bool, log: Log) -> str:
    """Return why a session ended without a result, and what the same command does next."""
    reason = {
        "stopped": "was stopped before it got any further than what it began with",
        "cancelled": "was cancelled on the website",
    }.get(session.state, "failed")
    said = f": {failure.rstrip('.')}" if failure else ""
    source = f"goes on {describe(session.progress)}" if session.source else "begins anew"
    lines = "\n".join(f"  {line}" for line in log.lines) or "  (nothing)"
    return (
        f"The training on Kaggle {reason}{said}. The same command {source}, in a new session. "
        f"See {session.url}. The end of its log:\n{lines}"
    )


def describe(progress: list[int]) -> str:
    """Return a few words on how far a run is."""
    finished, epoch, step, _ = progress
    return "after the last epoch" if finished else f"at epoch {epoch + 1}, step {step + 1}"


def progress_of(run: Run) -> list[int]:
    """Return how far a run is, as numbers that grow: finished, epoch, step, predicted parts."""
    if run.finished:
        return [1, 0, 0, len(list(run.folder.glob("*.parts/*.npy")))]
    try:
        state, _ = load_checkpoint(run.checkpoint_file)
        return [0, int(state["epoch"]), int(state["step"]), 0]
    except (UserError, KeyError, TypeError):
        return [0, 0, 0, 0]


def download(api: Any, remote: Run, session: Session) -> str:
    """Bring a session's output to its folder, whole; return the state it tells.

    Raises
    ------
    UserError
        When it does not come whole.
    """
    folder = emptied_output(remote)
    fetch(api, session.kernel, folder, [LISTING])
    listing = read_listing(folder / LISTING, remote)
    files = listing["files"]
    for _ in range(2):
        fetch(api, session.kernel, folder, list(files))
        files = {
            name: sha256 for name, sha256 in files.items() if not is_file(folder / name, sha256)
        }
        if not files:
            return str(listing["state"])
    raise UserError(
        f"The output of {session.kernel} came damaged or cut off twice ({', '.join(files)}). "
        f"Nothing of it was put into {remote.name}. The same command downloads it again. "
        f"{start_anew(remote)}"
    )


def emptied_output(remote: Run) -> Path:
    """Remove what an earlier download left; return the folder, which the client makes."""
    folder = output_folder(remote)
    try:
        remove_reserved(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder


def read_listing(file: Path, remote: Run) -> dict[str, Any]:
    """Return what a session says of its output: its state, and the digests of the run's files."""
    listing = read_json(file)
    try:
        for name in listing["files"]:
            parts = PurePosixPath(name).parts
            if parts[0] != remote.name or ".." in parts or "\\" in name:
                raise ValueError(f"it names {name!r}")
        listing["state"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{file} is not what a session writes ({error}). {start_anew(remote)}"
        ) from None
    return listing


def is_file(path: Path, sha256: str) -> bool:
    """Whether a file is there and has this digest."""
    return path.is_file() and digest(path) == sha256


def fetch(api: Any, kernel: str, folder: Path, names: list[str]) -> None:
    """Download files of a kernel's output to `folder`."""
    pattern = "|".join(map(re.escape, names))
    fetch_matching(api, kernel, folder, rf"\A(?:{pattern})\Z")


def fetch_matching(api: Any, kernel: str, folder: Path, pattern: str) -> None:
    """Download the files of a kernel's output whose names match."""
    doing = f"Downloading the output of {kernel}"
    try:
        call(unhidden, api.kernels_output, kernel, str(folder), pattern, True, doing=doing)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            raise explain_os_error(error.__cause__, folder) from error
        raise


def salvage(api: Any, remote: Run, session: Session) -> None:
    """Download the run of a session that did not end by itself, as far as it is there."""
    folder = emptied_output(remote)
    try:
        pattern = rf"\A{re.escape(remote.name)}/(?!.*\.\.)"
        fetch_matching(api, session.kernel, folder, pattern)
    except UserError as error:
        say(str(error))


def check(
    project: ProjectPaths, run: Run, recipe: Recipe, options: RunOptions, predict: bool
) -> None:
    """Raise a UserError unless a downloaded run is what was asked for and can be used."""
    if not check_finished(run, with_fitted_epochs(run, recipe, options), options):
        raise UserError(f"What came from Kaggle as {run.name} is not a finished run.")
    start_tensorflow()
    run.load_model()
    validated = run.read_metrics()["validation_images"]
    if validated:
        ids = read_probabilities(run.probabilities_file("validation", "plain"))["id"]
        if len(np.unique(ids)) != validated or len(ids) != validated:
            raise UserError(f"{run.name} came with other validation images than it tells.")
    if predict:
        check_predictions(project, run)


def check_predictions(project: ProjectPaths, run: Run) -> None:
    """Raise a UserError unless a run's predictions are its own, one for each test image."""
    file = run.probabilities_file("test", "plain")
    rows, ids = read_probabilities(file), submission_ids(project)
    if not np.array_equal(rows["id"], ids):
        raise UserError(
            f"The predictions that came from Kaggle are of {len(rows):,} images; those of the "
            f"{len(ids):,} ids of the competition were expected."
        )
    if not np.allclose(rows["probabilities"].sum(axis=1), 1, atol=1e-2):
        raise UserError("The predictions that came from Kaggle are no probabilities.")
    if read_json(file.with_suffix(".json"))["weights_sha256"] != run.weights_sha256():
        raise UserError("The predictions that came from Kaggle are not of the weights with them.")


def publish(remote: Run, session: Session, run: Run) -> None:
    """Put a checked run into its place, whole, with the session it comes from."""
    brought = brought_run(remote)
    origin = {"kernel": session.url, "accelerator": session.accelerator, "sessions": session.number}
    write_json(brought.folder / "remote.json", origin)
    try:
        for path in brought.folder.rglob("*"):
            sync(path)
        brought.folder.replace(run.folder)
        sync(run.folder.parent)
    except OSError as error:
        raise explain_os_error(error, run.folder) from error
    forget(remote)
    say(
        f"{run.folder} is here, trained on Kaggle in {session.number} "
        f"session{'s' * (session.number > 1)}."
    )
