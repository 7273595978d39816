"""The cache of decoded images: NumPy files in `data/cache`, safe to delete at any time.

The name of a cache holds a digest of the manifest and of each file's size and times. So a cache is
never used after a file changed. Each file's checksum was compared with the manifest before its
pixels were cached.
"""

import hashlib
import os
import re
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.console import say
from kaggle_cifar.data.decoding import DecodedBatches
from kaggle_cifar.data.manifest import Manifest
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import check_free_space, explain_os_error, lock, sync
from kaggle_cifar.ownership import RESERVED, remove_reserved, reserved_path

IMAGE_BYTES = int(np.prod(IMAGE_SHAPE))


class Cache(NamedTuple):
    """An open NumPy file of uint8 (n, 32, 32, 3) whose rows are those of the manifest."""

    file: IO[bytes]
    offset: int  # of the first pixel, in bytes

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the given rows as uint8 (n, 32, 32, 3).

        They are read, not mapped: the pages of a mapped file count as memory of this process.
        """
        pixels = np.empty((len(rows), *IMAGE_SHAPE), np.uint8)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for run in np.split(np.arange(len(rows)), breaks):
            self.file.seek(self.offset + int(rows[run[0]]) * IMAGE_BYTES)
            part = pixels[run[0] : run[-1] + 1]
            if self.file.readinto(part.data) != part.nbytes:  # type: ignore[attr-defined]
                raise UserError(f"{self.file.name} is cut off. Delete it and run this again.")
        return pixels


def cache_path(folder: Path, split: str, manifest: Manifest, paths: list[str]) -> Path:
    """Return the path of the cache of the images at `paths`, which `manifest` lists, as they are.

    The digest covers the change time too, because a copy may keep the size and the modification
    time.
    """
    digest = hashlib.sha256(manifest.digest.encode())
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - 300,000 times
        except OSError:
            digest.update(b"unreadable ")  # an error only for those who read this image
        else:
            state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(b"%d %d %d " % state)
    return folder / f"{split}-{digest.hexdigest()[:16]}.npy"


def find_caches(folder: Path, split: str) -> list[Path]:
    """Return all caches of a split in `folder`."""
    own_name = re.compile(rf"{split}-[0-9a-f]{{16}}\.npy")
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if own_name.fullmatch(path.name) and path.is_file()]


def open_cache(path: Path, count: int) -> Cache | None:
    """Return the cache of `count` images at `path`, or None if it is missing or damaged."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != (count, *IMAGE_SHAPE) or array.dtype != np.uint8:
            return None
        return Cache(path.open("rb"), array.offset)
    except (OSError, ValueError, EOFError):
        return None


def is_cached(path: Path, count: int) -> bool:
    """Return whether there is a whole cache of `count` images at `path`."""
    cache = open_cache(path, count)
    if cache is None:
        return False
    cache.file.close()
    return True


def cached(batches: DecodedBatches, path: Path, split: str, count: int) -> DecodedBatches:
    """Yield the batches of `count` images, and cache their pixels at `path` if none is broken."""
    with closing(CacheWriter(path, split, count)) as writer:
        for pixels, faults in batches:
            if faults:
                writer.close()
            writer.write(pixels)
            yield pixels, faults
        writer.finish()


class CacheWriter:
    """Write a cache; if that fails, print why and leave no file."""

    def __init__(self, path: Path, split: str, count: int) -> None:
        self._path = path
        # Each process has its own: two may write at once if someone deletes the folder and the
        # lock in it.
        self._partial = reserved_path(path, f"{os.getpid()}.partial")
        self._file: IO[bytes] | None = None
        self._stack = ExitStack()
        try:
            self._stack.enter_context(lock(path.parent, "image caching"))
            remove_other_caches(path, split)
            check_free_space(path, 2 * count * IMAGE_BYTES)  # half of it for other work
            self._stack.callback(remove_reserved, self._partial)
            self._file = self._stack.enter_context(self._partial.open("wb"))
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *IMAGE_SHAPE)}
            np.lib.format.write_array_header_1_0(self._file, header)
        except (OSError, UserError) as error:
            self._give_up(error)

    def write(self, batch: np.ndarray) -> None:
        """Add a batch, uint8 (n, 32, 32, 3)."""
        if self._file is None:
            return
        try:
            self._file.write(batch.data)
        except OSError as error:
            self._give_up(error)

    def finish(self) -> None:
        """Rename the whole cache to its final name."""
        if self._file is None:
            return
        try:
            self._file.flush()
            sync(self._partial)
            self._partial.replace(self._path)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        reason = explain_os_error(error, self._path) if isinstance(error, OSError) else error
        say(f"The decoded images are not cached, so the next command decodes them again. {reason}")
        self.close()

    def close(self) -> None:
        """Remove an unfinished cache and free the lock."""
        self._file = None
        self._stack.close()


def remove_other_caches(path: Path, split: str) -> None:
    """Remove the caches of changed or other images, and partial files of killed processes."""
    for other in find_caches(path.parent, split):
        other.unlink(missing_ok=True)
    for partial in path.parent.glob(f"{RESERVED}.{split}-*.partial"):
        remove_reserved(partial)
