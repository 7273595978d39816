"""Download the output of a session that has ended, and decide whether another must follow."""

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

from kaggle_cifar.console import say
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import explain_os_error, read_json
from kaggle_cifar.kaggle.client import call
from kaggle_cifar.ownership import remove_reserved, sha256
from kaggle_cifar.remote.monitor import Log, unmask_http_error
from kaggle_cifar.remote.sessions import (
    Session,
    downloaded_run,
    output_folder,
    restart_advice,
    save_session,
)
from kaggle_cifar.remote.worker import LISTING
from kaggle_cifar.training.checkpoint import load_checkpoint
from kaggle_cifar.training.run import Run


class SessionFailedError(UserError):
    """A session ended in `state` without a result, and another would not help by itself."""

    def __init__(self, session: Session, failure: str, log: Log) -> None:
        ended = {
            "stopped": "was stopped before it made any progress",
            "cancelled": "was cancelled on the website",
        }.get(session.state, "failed")
        reason = f": {failure.rstrip('.')}" if failure else ""
        start = f"resumes {progress_text(session.progress)}" if session.source else "starts again"
        lines = "\n".join(f"  {line}" for line in log.lines) or "  (empty)"
        super().__init__(
            f"The training on Kaggle {ended}{reason}. Run this again: a new session "
            f"{start}. See {session.url}. The end of its log:\n{lines}"
        )
        self.state = session.state


class DamagedOutputError(UserError):
    """The output of a session arrived damaged in each download, or its listing is invalid."""


def fetch_output(api: Any, remote: Run, session: Session, failure: str, log: Log) -> bool:
    """Download what an ended session left; return whether the run is finished.

    If it is not, and the session made progress, the next session resumes from there.

    Raises
    ------
    SessionFailedError
        If the session failed or made no progress.
    """
    if session.state == "complete":
        state = download(api, remote, session)
        if state == "finished":
            return True
    else:
        state = salvage(api, remote, session)
    progress = progress_of(downloaded_run(remote))
    made_progress = progress > session.progress
    session = dataclasses.replace(session, state=state)
    if made_progress:
        session = dataclasses.replace(session, source=session.kernel, progress=progress)
    save_session(remote, session)
    if state == "stopped" and made_progress:
        say(f"Session {session.number} of {remote.name} was stopped {progress_text(progress)}.")
        return False
    raise SessionFailedError(session, failure, log)


def progress_of(run: Run) -> list[int]:
    """Return the progress of a run as growing numbers.

    They are 0, epoch, step, 0 in the training; then 1, predictions, 0, parts of the next one.
    """
    if run.finished:
        predictions = list(run.folder.glob("test_probabilities*.npy"))
        return [1, len(predictions), 0, len(list(run.folder.glob("*.parts/*.npy")))]
    try:
        state, _ = load_checkpoint(run.checkpoint_file)
        return [0, int(state["epoch"]), int(state["step"]), 0]
    except (UserError, KeyError, TypeError):
        return [0, 0, 0, 0]


def progress_text(progress: list[int]) -> str:
    """Return the progress of a run in a few words."""
    finished, epoch, step, _ = progress
    return "after the last epoch" if finished else f"at epoch {epoch + 1}, step {step + 1}"


def download(api: Any, remote: Run, session: Session) -> str:
    """Download the output of a session that ended by itself; return the state in its listing.

    Raises
    ------
    DamagedOutputError
        If a file arrives damaged each time.
    """
    folder = emptied_output(remote)
    download_files(api, session.kernel, folder, [LISTING])
    listing = read_listing(folder / LISTING, remote)
    missing = list(listing["files"])
    for _ in range(2):
        download_files(api, session.kernel, folder, missing)
        missing = [name for name in missing if not has_digest(folder, name, listing)]
        if not missing:
            return str(listing["state"])
    raise DamagedOutputError(
        f"The output of {session.kernel} arrived damaged twice ({', '.join(missing)}). No run was "
        f"added. Run this again to download it again. {restart_advice(remote)}"
    )


def emptied_output(remote: Run) -> Path:
    """Remove an earlier download; return its folder, which the client creates."""
    folder = output_folder(remote)
    try:
        remove_reserved(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    return folder


def read_listing(path: Path, remote: Run) -> dict[str, Any]:
    """Return a session's "state" and the digests of its "files".

    Raises
    ------
    DamagedOutputError
        If the file at `path` holds something else, or a file outside the run's folder.
    """
    listing = read_json(path)
    try:
        for name in listing["files"]:
            parts = PurePosixPath(name).parts
            if parts[0] != remote.name or ".." in parts or "\\" in name:
                raise ValueError(f"it contains {name!r}")
        listing["state"]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        message = f"{path} is not a list of a session's files ({error}). {restart_advice(remote)}"
        raise DamagedOutputError(message) from None
    return dict(listing)


def has_digest(folder: Path, name: str, listing: dict[str, Any]) -> bool:
    """Whether a file is there and has the digest that the listing gives."""
    path = folder / name
    return path.is_file() and sha256(path) == listing["files"][name]


def download_files(api: Any, kernel: str, folder: Path, names: list[str]) -> None:
    """Download files of a kernel's output to `folder`."""
    pattern = "|".join(map(re.escape, names))
    download_matching(api, kernel, folder, rf"\A(?:{pattern})\Z")


def download_matching(api: Any, kernel: str, folder: Path, pattern: str) -> None:
    """Download the files of a kernel's output whose names match."""
    doing = f"Downloading the output of {kernel}"
    arguments = (kernel, str(folder), pattern, True)
    try:
        call(unmask_http_error, api.kernels_output, *arguments, doing=doing)
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            raise explain_os_error(error.__cause__, folder) from error
        raise


def salvage(api: Any, remote: Run, session: Session) -> str:
    """Download what there is of the run of a failed or cancelled session; return its state.

    A session that writes its listing has failed by itself. Without one, Kaggle killed it, for
    instance at its time limit: it counts as stopped.
    """
    folder = emptied_output(remote)
    try:
        pattern = rf"\A(?:{re.escape(LISTING)}\Z|{re.escape(remote.name)}/(?!.*\.\.))"
        download_matching(api, session.kernel, folder, pattern)
    except UserError as error:
        say(str(error))
        return session.state
    was_killed = session.state == "failed" and downloaded_run(remote).folder.exists()
    return "stopped" if was_killed and not (folder / LISTING).exists() else session.state
