"""Folders that are replaced as a whole: filled under a reserved name, then renamed.

A link to a folder stays, and the folder that it leads to is replaced.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaggle_cifar.files import explain_os_error, partial_path
from kaggle_cifar.ownership import remove_reserved, reserved_path


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield a new empty folder, which replaces `folder` if the block succeeds.

    If the block raises, the new folder is removed and `folder` stays as it was. The caller makes
    sure that `folder` may be replaced and that there is only one writer.

    Raises
    ------
    UserError
        If the disk is full or the folder cannot be written.
    """
    remove_staged(folder)
    real = real_folder(folder)
    staging = partial_path(real)
    try:
        staging.mkdir(parents=True)
        yield staging
        set_aside(folder)
        staging.replace(real)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        remove_staged(folder)


def set_aside(folder: Path) -> None:
    """Rename an existing folder to the reserved path from which `staged_folder` removes it."""
    real = real_folder(folder)
    if real.exists():
        real.replace(reserved_path(real, "old"))


def remove_staged(folder: Path) -> None:
    """Remove what `staged_folder` left for `folder`, also in a process that was killed."""
    real = real_folder(folder)
    try:
        remove_reserved(partial_path(real))
        remove_reserved(reserved_path(real, "old"))
    except OSError as error:
        raise explain_os_error(error, folder) from error


def real_folder(folder: Path) -> Path:
    """Return the folder that `folder` is or links to."""
    return Path(os.path.realpath(folder))
