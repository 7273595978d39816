"""Paths of a project, atomic files, JSON, locks and free disk space."""

import contextlib
import dataclasses
import errno
import json
import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kaggle_cifar.errors import DiskFullError, PathError, UserError
from kaggle_cifar.ownership import (
    RESERVED,
    kind_of_file,
    read_record,
    record_of,
    regular_file,
    remove_reserved,
    reserved_path,
)

LOCK_NAME = f"{RESERVED}.lock"
RESTORE = "Restore the file."  # what to do about a damaged file if nothing can write it again


@dataclass(frozen=True)
class ProjectPaths:
    """The three folders of a project and the paths in them."""

    data: Path = Path("data")
    runs: Path = Path("runs")
    submissions: Path = Path("submissions")

    def absolute(self) -> "ProjectPaths":
        """Return the same folders as absolute paths."""
        return ProjectPaths(self.data.resolve(), self.runs.resolve(), self.submissions.resolve())

    @property
    def raw(self) -> Path:
        """Return the folder of the files that Kaggle serves."""
        return self.data / "raw"

    @property
    def cache(self) -> Path:
        """Return the folder of decoded images, which may be deleted at any time."""
        return self.data / "cache"

    def images(self, split: str) -> Path:
        """Return the folder of PNGs of a split, "train" or "test"."""
        return self.data / split

    def manifest(self, split: str) -> Path:
        """Return the CSV (`id,size,crc32`) that lists the PNGs of a split."""
        return self.data / f"{split}.manifest.csv"

    def command(self, *words: object) -> str:
        """Return this program's command line for these folders, quoted for a shell."""
        options: list[object] = []
        for field in dataclasses.fields(self):
            folder = getattr(self, field.name)
            if folder != field.default:
                options += [f"--{field.name}-dir", folder]
        return shlex.join(map(str, ["kaggle-cifar", *options, *words]))


class NotAFolderError(PathError):
    """One of the project's folders is something else; `path` is its path."""


def require_folder_path(path: Path) -> Path:
    """Return the path of a folder that exists or may be created.

    Raises
    ------
    NotAFolderError
        If it is a file, a device or a named pipe.
    """
    try:
        mode = path.stat().st_mode
    except OSError:  # missing or out of reach, which is reported when the folder is used
        return path
    if not stat.S_ISDIR(mode):
        raise NotAFolderError(path, f"{path} is {kind_of_file(mode)}, expected a folder.")
    return path


# Atomic files


def partial_path(path: Path) -> Path:
    """Return the reserved path at which the content of `path` is written before the rename."""
    return reserved_path(path, "partial")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to `path` if the block succeeds.

    The content is flushed to the disk before the rename. If the block raises, the temporary file
    is removed and `path` stays as it was. If `path` is a link, its target is written. The caller
    makes sure that this program wrote the existing file and that there is only one writer (see
    `lock`).

    Raises
    ------
    ForeignPathError
        If `path` leads to anything but a regular file.
    UserError
        If the disk is full or the folder cannot be written.
    """
    target = regular_file(path)
    partial = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_reserved(partial)  # left by a killed process
        yield partial
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except BaseException as error:
        remove_reserved(partial)
        if isinstance(error, OSError):
            raise explain_os_error(error, path) from error
        raise


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8 atomically, newlines unchanged."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_record(path: Path, kind: str, values: dict[str, Any]) -> None:
    """Write a record to `path` atomically.

    Raises
    ------
    ForeignPathError
        If `path` holds anything but a record of that kind.
    """
    read_record(path, kind)
    write_json(path, record_of(kind, values))


# JSON


def read_json(path: Path, remedy: str = RESTORE) -> Any:
    """Return the content of the JSON file at `path`; `remedy` says what to do if it is not JSON.

    Raises
    ------
    UserError
        If the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(regular_file(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing.") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error}). {remedy}") from None


def read_object(path: Path, remedy: str = RESTORE) -> dict[str, Any]:
    """Return the object in the JSON file at `path`; raises as `read_json`."""
    content = read_json(path, remedy)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {str(content)[:40]!r}, expected a JSON object. {remedy}")
    return content


# Locks


class BusyError(UserError):
    """Another process is using `path`."""

    def __init__(self, path: Path, activity: str) -> None:
        super().__init__(
            f"Another {activity} process is using {path}. Wait until it ends, then run this again."
        )
        self.path = path


@contextmanager
def lock(folder: Path, activity: str) -> Iterator[None]:
    """Lock `folder` until the block or the process ends; `activity` is a noun ("extraction").

    Raises
    ------
    BusyError
        If another process has locked it.
    UserError
        If the folder cannot be written.
    """
    with held(folder / LOCK_NAME, folder, activity):
        try:
            yield
        finally:
            remove_if_only_lock(folder)


def lock_file(path: Path, activity: str) -> AbstractContextManager[None]:
    """Lock one file as `lock` locks a folder."""
    path = regular_file(path)
    return held(reserved_path(path, "lock"), path, activity)


@contextmanager
def held(lock_path: Path, path: Path, activity: str) -> Iterator[None]:
    """Lock `path` with the lock file `lock_path`."""
    try:
        lock_path.parent.mkdir(parents=True, exist_ok=True)
        holder = FileLock(lock_path)
        holder.acquire(blocking=False)
    except Timeout:
        raise BusyError(path, activity) from None
    except OSError as error:
        raise explain_os_error(error, path) from error
    try:
        yield
    finally:
        holder.release()


def remove_if_only_lock(folder: Path) -> None:
    """Remove a folder that holds nothing but its lock."""
    with contextlib.suppress(OSError):  # an open file on Windows, or no folder
        if [path.name for path in folder.iterdir()] == [LOCK_NAME]:
            (folder / LOCK_NAME).unlink()
            folder.rmdir()


# Errors of the disk


def check_free_space(path: Path, needed: int) -> None:
    """Raise a DiskFullError if the disk of `path` has less than `needed` bytes left."""
    free = free_space(path)
    if free < needed:
        raise DiskFullError(
            path,
            free,
            f"Not enough disk space for {path}: {needed / 2**20:,.0f} MiB are needed, "
            f"{free / 2**20:,.0f} MiB are free. Free some space or use another disk.",
        )


def free_space(path: Path) -> int:
    """Return how many bytes are free on the disk of `path`, which need not exist yet."""
    return shutil.disk_usage(existing_parent(path)).free


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of the operating system means that the disk is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def explain_os_error(error: OSError, path: Path) -> UserError:
    """Return the UserError for an error of the operating system while writing `path`."""
    if is_disk_full(error):
        free = free_space(path)
        return DiskFullError(
            path,
            free,
            f"The disk is full: {path} could not be written ({free / 2**20:,.0f} MiB are free). "
            "No partial files were kept. Free some space and run this again.",
        )
    choose = "or use another folder (see the folder options in `kaggle-cifar --help`)."
    if isinstance(error, PermissionError):
        return UserError(f"No permission to write to {path}. Make the folder writable {choose}")
    part = next((part for part in (path, *path.parents) if os.path.lexists(part)), Path())
    if isinstance(error, FileExistsError | NotADirectoryError) and not part.is_dir():
        return UserError(
            f"{path} could not be written: {part} is not a folder, or is a link to a "
            f"folder that is missing. Create that folder, mount its disk, {choose}"
        )
    return UserError(f"{path} could not be written: {error.strerror or error}.")


def existing_parent(path: Path) -> Path:
    """Return `path` if it exists, or else the nearest folder above it that does."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
