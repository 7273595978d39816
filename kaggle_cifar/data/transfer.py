"""Download one file from Kaggle, resuming after interruptions."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.console import progress_bar
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import free_space, is_disk_full
from kaggle_cifar.kaggle.client import ATTEMPTS
from kaggle_cifar.kaggle.explanations import explain, reason_in_short
from kaggle_cifar.kaggle.failures import LONGEST_BACKOFF, WrongRangeError, retry_delay, status_of
from kaggle_cifar.kaggle.signed_links import download_link, signed_link
from kaggle_cifar.ownership import remove_reserved

if TYPE_CHECKING:
    from tqdm import tqdm

Sleep = Callable[[float], None]


class TransferError(UserError):
    """The download of `name` failed; `kept` bytes of it are on disk."""

    def __init__(self, name: str, kept: int, message: str) -> None:
        super().__init__(message)
        self.name, self.kept = name, kept


def receive(api: Any, staged: Path, size: int | None, sleep: Sleep = time.sleep) -> None:
    """Download to `staged`, and resume after interruptions as long as more bytes arrive.

    Raises
    ------
    UserError
        If the download fails. It is a TransferError if part of the file is kept.
    """
    attempt, furthest = 0, size_of(staged)
    with closing(progress_bar(staged.name, size or 0, "B", initial=furthest)) as bar:
        while True:
            try:
                # A new link each time: links expire.
                download_link(signed_link(api, staged.name), staged, partial(move_to, bar))
                return
            except (Exception, SystemExit) as error:
                attempt = 1 if size_of(staged) > furthest else attempt + 1
                furthest = max(furthest, size_of(staged))
                delay = delay_before_retry(error, attempt)
                if must_restart(error):
                    empty_folder(staged.parent)
                if delay is None or attempt >= ATTEMPTS:
                    raise explain_failure(error, staged, size) from error
                reason = reason_in_short(error)
            bar.write(f"{staged.name}: {reason}. Retrying in {delay:.0f} s.")
            sleep(delay)


def move_to(bar: "tqdm[None]", position: int) -> None:
    """Set a progress bar to a position in the file, back to 0 if the server starts again."""
    bar.update(position - bar.n)


def delay_before_retry(error: BaseException, attempt: int) -> float | None:
    """Return the seconds before the next attempt, or None if a retry cannot help."""
    if isinstance(error, WrongRangeError) or refused_by_storage(error):
        return min(2.0 ** (attempt - 1), LONGEST_BACKOFF)
    return retry_delay(error, attempt)


def refused_by_storage(error: BaseException) -> bool:
    """Return whether the storage refused its link; a new link helps if it has expired."""
    request = getattr(getattr(error, "response", None), "request", None)
    status = status_of(error)
    return request is not None and request.method == "GET" and status is not None and status != 429


def must_restart(error: BaseException) -> bool:
    """Return whether the download cannot resume from what was received so far."""
    return isinstance(error, WrongRangeError) or (
        refused_by_storage(error) and status_of(error) == 416
    )


def explain_failure(error: BaseException, staged: Path, size: int | None) -> UserError:
    """Return the UserError for a failed download, which also says how much is kept."""
    message = own_reason(error, staged.parent)
    failure = explain(error, f"Downloading {staged.name}")
    kept = size_of(staged)
    if message is None and not kept:
        return failure
    text = f"Downloading {staged.name} failed: {message}" if message else str(failure)
    if kept:
        total = f" of {size / 2**20:,.1f}" if size else ""
        text += f" {kept / 2**20:,.1f}{total} MiB are kept. Run this again to resume."
    return TransferError(staged.name, kept, text)


def own_reason(error: BaseException, folder: Path) -> str | None:
    """Return why a download failed and what to do, or None if the client's error says it."""
    if is_disk_full(error):
        free = free_space(folder) / 2**20
        return f"the disk is full ({free:,.0f} MiB are free). Free some space."
    if isinstance(error, WrongRangeError):
        return f"the server kept sending wrong parts of the file ({error}). Run this again later."
    if refused_by_storage(error) and (status := status_of(error)) and status < 500:
        return f"Kaggle's storage refused each link (HTTP {status}). Run this again later."
    return None


def empty_folder(folder: Path) -> None:
    """Remove everything in a folder of staged files."""
    remove_reserved(folder)
    folder.mkdir()


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, or 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0
