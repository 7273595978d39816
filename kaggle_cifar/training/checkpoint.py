"""The state of an unfinished training in one file, so that it is never half of two states."""

import contextlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import atomic_write, partial_path
from kaggle_cifar.ownership import regular_file, remove_reserved


def save_checkpoint(path: Path, state: dict[str, Any], arrays: dict[str, list[np.ndarray]]) -> None:
    """Write JSON values and named lists of arrays to `path`, atomically."""
    flat = {f"{name}/{i}": array for name, group in arrays.items() for i, array in enumerate(group)}
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, state=np.array(json.dumps(state)), **flat)


def remove_checkpoint(path: Path) -> None:
    """Remove what `save_checkpoint` wrote to `path`, and its folder unless it holds more."""
    regular_file(path)  # a folder of that name is refused
    path.unlink(missing_ok=True)
    remove_reserved(partial_path(path))
    with contextlib.suppress(OSError):  # it holds more, is a link, or was never made
        path.parent.rmdir()


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Return what `save_checkpoint` wrote.

    Raises
    ------
    UserError
        When the file is damaged or is something else. Nothing in it is executed.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = {key: file[key] for key in file.files}
        state = json.loads(str(content.pop("state")))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is not a checkpoint of this program or is damaged ({error}). Delete it to "
            "start this run again from the beginning, or choose another --name."
        ) from None
    arrays: dict[str, list[np.ndarray]] = {}
    for key in sorted(content, key=_group_and_number):
        arrays.setdefault(_group_and_number(key)[0], []).append(content[key])
    return state, arrays


def _group_and_number(key: str) -> tuple[str, int]:
    group, _, number = key.partition("/")
    return group, int(number or 0)
