"""Where things lie on disk, how a file becomes visible only when it is whole, who may write."""

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import sys
import types
import typing
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import (
    RESERVED,
    read_record,
    record_of,
    regular_file,
    remove_reserved,
    reserved_path,
)

LOCK_NAME = f"{RESERVED}.lock"


@dataclass(frozen=True)
class ProjectPaths:
    """The three folders of a project and the fixed places in them."""

    data: Path = Path("data")
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")

    def absolute(self) -> "ProjectPaths":
        """Return the same folders under paths that hold in any process."""
        return ProjectPaths(self.data.resolve(), self.runs.resolve(), self.submissions.resolve())

    @property
    def raw(self) -> Path:
        """The files as Kaggle serves them."""
        return self.data / "raw"

    @property
    def cache(self) -> Path:
        """What is derived from the images and can be deleted at any time."""
        return self.data / "cache"

    def images(self, split: str) -> Path:
        """Return the folder of extracted PNGs; `split` is "train" or "test"."""
        return self.data / split

    def manifest(self, split: str) -> Path:
        """Return the CSV (`id,size,crc32`) that extraction writes beside the folder of PNGs."""
        return self.data / f"{split}.manifest.csv"


def partial_path(path: Path) -> Path:
    """Return the place beside `path` where its content grows until it is whole."""
    return reserved_path(path, "partial")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write to; move it to `path` when the block ends well.

    The content is on the disk before the name is. When the block raises, the partial file is
    removed and whatever was at `path` before stays. A link is followed: what it leads to is
    written. One writer at a time: see `lock`. Whoever calls this knows that a file that is there
    already is this program's own.

    Raises
    ------
    ForeignPathError
        When `path` leads to anything but a regular file.
    UserError
        When the disk is full or the folder cannot be written.
    """
    path = regular_file(path)
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_reserved(partial)  # of a process that was killed
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except BaseException as error:
        remove_reserved(partial)
        if isinstance(error, OSError):
            raise explain_os_error(error, path) from error
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 with newlines as they are, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_record(path: Path, kind: str, values: dict[str, Any]) -> None:
    """Write a record to `path`, atomically, unless something else is there.

    Raises
    ------
    ForeignPathError
        When a file is there that is no record of that kind.
    """
    read_record(path, kind)
    write_json(path, record_of(kind, values))


def read_json(path: Path) -> Any:
    """Return the content of the JSON file at `path`.

    Raises
    ------
    UserError
        When the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(regular_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}). Restore the file.") from None


def from_json(kind: type, content: dict[str, Any]) -> Any:
    """Return a dataclass from JSON values, nested ones too.

    Raises
    ------
    TypeError
        When a key is unknown or missing, or a value has another type than the field.
    """
    if not isinstance(content, dict):
        raise TypeError(f"expected an object of {kind.__name__}, found {content!r}")
    hints = typing.get_type_hints(kind)
    unknown = content.keys() - hints.keys()
    if unknown:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{key: _field(key, hints[key], value) for key, value in content.items()})


def _field(key: str, hint: Any, value: Any) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for kind in kinds:
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return from_json(typing.cast(type, kind), value)
        if kind is float and type(value) is int and abs(value) < sys.float_info.max:
            return float(value)
        if type(value) is (typing.get_origin(kind) or kind):
            return value
    raise TypeError(f"{key} cannot be {value!r}")


def sync(path: Path) -> None:
    """Force a file or a folder's list of names to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BusyError(UserError):
    """Another process holds a folder."""


@contextmanager
def lock(folder: Path, activity: str) -> Iterator[None]:
    """Hold `folder` for one process, whose death frees it; `activity` is a noun ("extraction").

    Raises
    ------
    BusyError
        At once when another process holds it.
    UserError
        When the folder cannot be written.
    """
    with held(folder / LOCK_NAME, folder, activity):
        try:
            yield
        finally:
            remove_if_only_lock(folder)


def lock_file(path: Path, activity: str) -> AbstractContextManager[None]:
    """Hold one file for one process, as `lock` holds a folder."""
    path = regular_file(path)
    return held(reserved_path(path, "lock"), path, activity)


@contextmanager
def held(lock_path: Path, path: Path, activity: str) -> Iterator[None]:
    """Hold `path` by a lock at `lock_path`."""
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        holder = FileLock(lock_path)
        holder.acquire(blocking=False)
    except Timeout:
        raise BusyError(
            f"Another {activity} is at work in {path}. Wait for it to end, then run this again."
        ) from None
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        yield
    finally:
        holder.release()


def remove_if_only_lock(folder: Path) -> None:
    """Remove a folder in which nothing came to be but its lock."""
    with contextlib.suppress(OSError):  # Windows keeps a file that is open; the folder may be gone
        if [path.name for path in folder.iterdir()] == [LOCK_NAME]:
            (folder / LOCK_NAME).unlink()
            folder.rmdir()


def explain_os_error(error: OSError, path: Path) -> UserError:
    """Return the sentence for an error of the operating system met while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(existing_parent(path)).free
        return UserError(
            f"The disk is full: {path} could not be written "
            f"({free / 2**20:,.0f} MiB are free). Nothing incomplete was left. "
            "Free some space and run this again."
        )
    if isinstance(error, PermissionError):
        return UserError(
            f"No permission to write {path}. Make the folder writable or choose another "
            "(see the folder options in `kaggle-cifar --help`)."
        )
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        return UserError(
            f"{path} could not be written: {error.filename} is not a folder, or is a link to a "
            "folder that is missing. Make that folder or mount its disk, or choose another (see "
            "the folder options in `kaggle-cifar --help`)."
        )
    return UserError(f"{path} could not be written: {error.strerror or error}.")


def existing_parent(path: Path) -> Path:
    """Return the nearest folder above `path`, or `path` itself, that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
