"""The state of an unfinished training in one file, saved atomically."""

import contextlib
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import atomic_write, partial_path
from kaggle_cifar.ownership import regular_file, remove_reserved
from kaggle_cifar.training.state import Arrays, TrainingState

INTERVAL = 300.0  # seconds; the end of an epoch is always saved


class CheckpointError(UserError):
    """A checkpoint cannot be used; `path` is its file."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"{path} {fault}. Delete it to train this run from the beginning, or use another "
            "--name."
        )
        self.path = path


class CheckpointSaver:
    """Saves the state of a training to a file, and restores it from there."""

    def __init__(self, path: Path, state: TrainingState) -> None:
        self._path, self._state = path, state
        self._last_saved = time.monotonic()

    def save(self) -> None:
        """Save the state."""
        save_checkpoint(self._path, *self._state.export())
        self._last_saved = time.monotonic()

    def save_if_due(self) -> None:
        """Save the state if the last time was more than INTERVAL ago."""
        if time.monotonic() - self._last_saved > INTERVAL:
            self.save()

    def restore(self) -> bool:
        """Restore the state if it was saved; return whether it was.

        Raises
        ------
        CheckpointError
            If the file is damaged or is the state of another training.
        """
        if not self._path.exists():
            return False
        values, arrays = load_checkpoint(self._path)
        try:
            self._state.restore(values, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                self._path, f"does not match the run's recipe ({error})"
            ) from None
        return True


def save_checkpoint(path: Path, values: dict[str, Any], arrays: Arrays) -> None:
    """Write JSON values and named lists of arrays to `path`, atomically."""
    flat: dict[str, Any] = {
        f"{name}/{i}": array for name, group in arrays.items() for i, array in enumerate(group)
    }
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, state=np.array(json.dumps(values)), **flat)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return what `save_checkpoint` wrote.

    Raises
    ------
    CheckpointError
        If the file is damaged or is something else. Nothing in it is executed.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {key: file[key] for key in file.files}
        values = json.loads(str(content.pop("state")))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise CheckpointError(path, f"is not a checkpoint or is damaged ({error})") from None
    arrays: Arrays = {}
    for key in sorted(content, key=_group_and_number):
        arrays.setdefault(_group_and_number(key)[0], []).append(content[key])
    return values, arrays


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, and its folder if it is empty then."""
    regular_file(path)  # a folder is refused
    path.unlink(missing_ok=True)
    remove_reserved(partial_path(path))
    with contextlib.suppress(OSError):  # not empty, a link, or missing
        path.parent.rmdir()


def _group_and_number(key: str) -> tuple[str, int]:
    group, _, number = key.partition("/")
    return group, int(number or 0)
