"""Images by id to pixels: decoded from their PNGs once, then read from `data/cache`.

A cache belongs to one manifest and to the files as they were when it was made: a digest of the
manifest and of each file's size and times is its name. Each file's checksum was compared with the
manifest before its pixels went in. So the pixels of a file that was changed since are never read.
The cache is made in passing when all images of a split are read, and may be deleted at any time.
A folder that was unpacked by hand has no manifest and gets no cache.
"""

import hashlib
import os
import re
import shutil
import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED, remove_reserved, reserved_path
from kaggle_cifar.parallel import THREADS, in_order
from kaggle_cifar.png import UndecodableError, decode_png, decode_pngs
from kaggle_cifar.progress import say
from kaggle_cifar.storage import Layout, explain_os_error, lock, sync

IMAGE_BYTES = int(np.prod(IMAGE_SHAPE))
# Reading a file holds Python's lock, decoding does not: with one thread more, no core waits.
DECODERS = THREADS + 1
UNKNOWN = -1  # the checksum of a file of which no manifest tells


Survey = Iterator[tuple[np.ndarray, list["BrokenImageError"]]]


class BrokenImageError(UserError):
    """A file that is not the PNG that was extracted; `path` is the file, `what` its fault."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        self.path, self.what = path, what
        super().__init__(f"{path} {what}. Expected a whole PNG of 32 x 32 pixels. {remedy}")


class Manifest(NamedTuple):
    """What extraction wrote of a folder of images; arrays in ascending order of the ids."""

    ids: np.ndarray  # int64 (n,)
    checksums: np.ndarray  # CRC-32 of each file, int64 (n,)
    digest: str  # SHA-256 of the manifest

    def rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the row of each id, and whether it is that id's: int64 and bool (n,)."""
        rows = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        return rows, self.ids[rows] == ids


def read_images(
    layout: Layout, split: str, ids: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield the images of `ids` in their order as uint8 (batch, 32, 32, 3), the last batch short.

    They come from the cache if the files have not changed since it was made; else they are
    decoded as `decode_images` does.

    Raises
    ------
    UserError
        When the folder or one of the files is missing or broken, or the disk fails.
    """
    require_folder(layout, split)
    manifest = read_manifest(layout.manifest(split))
    if manifest is not None:
        rows, known = manifest.rows(ids)
        path = cache_path(layout, split, manifest)
        if known.all():
            if kept := load_cache(path, len(manifest.ids)):
                yield from cached_batches(kept, rows, batch_size)
                return
            if caches(path.parent, split):
                say(
                    f"The files in {layout.images(split)} are not those whose pixels are in "
                    f"{path.parent}: they are decoded and compared with their checksums."
                )
    yield from decode_images(layout, split, ids, batch_size)


def decode_images(
    layout: Layout, split: str, ids: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield the images of `ids` as `read_images` does, always from the files.

    Raises
    ------
    BrokenImageError
        For the first file that is missing, broken, of the wrong size or not the one extracted.
    """
    with closing(survey_images(layout, split, ids, batch_size)) as batches:
        for pixels, faults in batches:
            if faults:
                raise faults[0]
            yield pixels


def survey_images(
    layout: Layout, split: str, ids: np.ndarray, batch_size: int
) -> Generator[tuple[np.ndarray, list[BrokenImageError]]]:
    """Yield the readable images of each batch of `ids`, uint8 (n, 32, 32, 3), and all faults in it.

    All cores read and decode, a few batches ahead of the one in use. When the ids are all those
    of the folder's manifest and none is broken, the pixels are kept in the cache.
    """
    paths = image_paths(layout, split, ids)
    manifest = read_manifest(layout.manifest(split))
    if manifest is None:
        yield from decoded_batches(paths, np.full(len(ids), UNKNOWN), batch_size)
        return
    rows, known = manifest.rows(ids)
    checksums = np.where(known, manifest.checksums[rows], UNKNOWN)
    if not np.array_equal(ids, manifest.ids):
        yield from decoded_batches(paths, checksums, batch_size)
        return
    # Before the first file is read: what changes meanwhile makes the cache one of other files.
    path = cache_path(layout, split, manifest)
    batches = decoded_batches(paths, checksums, batch_size)
    yield from batches if is_whole(path, len(ids)) else recorded(batches, path, split, len(ids))


def require_folder(layout: Layout, split: str) -> None:
    """Raise a UserError when the images of a split are not extracted."""
    if not layout.images(split).is_dir():
        raise UserError(
            f"{layout.images(split)} is missing: the {split} images are not extracted. Run "
            "`kaggle-cifar download`, or `kaggle-cifar extract` when the archives are in "
            f"{layout.raw}."
        )


def image_paths(layout: Layout, split: str, ids: np.ndarray) -> list[str]:
    """Return the path of each id's PNG.

    Raises
    ------
    UserError
        When the folder is missing.
    """
    require_folder(layout, split)
    return [f"{layout.images(split)}/{image_id}.png" for image_id in ids.tolist()]


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest at `path`; None if the folder beside it was unpacked by hand.

    Raises
    ------
    UserError
        When it is not one that extraction wrote.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    try:
        lines = content.decode("ascii").splitlines()
        table = np.loadtxt(lines[1:], np.int64, delimiter=",", ndmin=2)
        ids, _, checksums = table.T
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"{path} is damaged ({error}): expected a row of id, size and CRC-32 for each image. "
            "Move it and the folder beside it away, then run `kaggle-cifar extract`."
        ) from None
    return Manifest(ids, checksums, hashlib.sha256(content).hexdigest())


# Decoding


def decoded_batches(paths: list[str], checksums: np.ndarray, batch_size: int) -> Survey:
    """Yield the readable images at `paths` in order, and the faults of the others."""
    starts = range(0, len(paths), batch_size)
    with ThreadPoolExecutor(DECODERS) as pool:
        parts = (slice(start, start + batch_size) for start in starts)
        futures = (pool.submit(decode_files, paths[part], checksums[part]) for part in parts)
        yield from in_order(futures, DECODERS + 1)


def decode_files(
    paths: list[str], checksums: np.ndarray
) -> tuple[np.ndarray, list[BrokenImageError]]:
    """Return the images at `paths` as uint8 (n, 32, 32, 3), and the faults of those left out."""
    import tensorflow as tf

    try:
        contents = [read_file(path) for path in paths]
        found = np.fromiter(map(zlib.crc32, contents), np.int64, len(contents))
        if np.all((found == checksums) | (checksums == UNKNOWN)):
            return decode_pngs(contents), []
    except (OSError, ValueError, tf.errors.OpError):
        pass  # one of them is broken: which, only a look at each tells
    images, faults = [np.empty((0, *IMAGE_SHAPE), np.uint8)], []
    for path, checksum in zip(paths, checksums, strict=True):
        try:
            images.append(decode_file(path, checksum)[None])
        except BrokenImageError as fault:
            faults.append(fault)
    return np.concatenate(images), faults


def decode_file(path: str, checksum: int) -> np.ndarray:
    """Return the image at `path` as uint8 (32, 32, 3).

    Raises
    ------
    BrokenImageError
        When it is missing, unreadable, broken, or not the one extracted.
    """
    by_hand = f"Restore it, or move {Path(path).parent} away and run `kaggle-cifar extract`."
    try:
        content = read_file(path)
    except FileNotFoundError:
        remedy = by_hand if checksum == UNKNOWN else "Run `kaggle-cifar extract` to restore it."
        raise BrokenImageError(path, "is missing", remedy) from None
    except OSError as error:
        what = f"could not be read ({error.strerror or error})"
        raise BrokenImageError(path, what, "Make it readable, then run this again.") from None
    remedy = "Delete it and run `kaggle-cifar extract`, which restores it."
    if checksum == UNKNOWN:
        remedy = by_hand
    is_extracted = zlib.crc32(content) == checksum
    try:
        pixels = decode_png(content)
    except UndecodableError as error:
        if is_extracted:
            remedy = (
                "The archive holds it like this. Delete the archive and run `kaggle-cifar "
                "download`. If the new archive is the same, the image is broken at its source."
            )
        raise BrokenImageError(path, str(error), remedy) from None
    if not is_extracted and checksum != UNKNOWN:
        what = "is an image, but not the one that was extracted: its checksum differs"
        raise BrokenImageError(path, what, remedy)
    return pixels


def read_file(path: str) -> bytes:
    """Return a file's content, at a fraction of what `Path.read_bytes` costs."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - 300,000 times
        return file.read()


# The cache


class Cache(NamedTuple):
    """A NumPy file of uint8 (n, 32, 32, 3), open; its rows are those of the manifest."""

    file: IO[bytes]
    offset: int  # of the first pixel, in bytes


def cache_path(layout: Layout, split: str, manifest: Manifest) -> Path:
    """Return the place of the pixels of the images that `manifest` lists, as they are now.

    The change time is taken too, because a copy may keep the size and the time of writing.
    """
    digest = hashlib.sha256(manifest.digest.encode())
    for path in image_paths(layout, split, manifest.ids):
        try:
            status = os.stat(path)  # noqa: PTH116 - 300,000 times
        except OSError:
            digest.update(b"unreadable ")  # an error only for who reads this very image
        else:
            state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(b"%d %d %d " % state)
    return layout.cache / f"{split}-{digest.hexdigest()[:16]}.npy"


def caches(folder: Path, split: str) -> list[Path]:
    """Return the caches of a split in `folder`, of whatever files."""
    own_name = re.compile(rf"{split}-[0-9a-f]{{16}}\.npy")
    found = folder.iterdir() if folder.is_dir() else ()
    return [path for path in found if own_name.fullmatch(path.name) and path.is_file()]


def load_cache(path: Path, count: int) -> Cache | None:
    """Return the cache at `path`, open; None where it is not there or not whole."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.shape != (count, *IMAGE_SHAPE) or array.dtype != np.uint8:
            return None
        return Cache(path.open("rb"), array.offset)
    except (OSError, ValueError, EOFError):
        return None


def is_whole(path: Path, count: int) -> bool:
    """Tell whether there is a cache of `count` images at `path`."""
    kept = load_cache(path, count)
    if kept is None:
        return False
    kept.file.close()
    return True


def cached_batches(kept: Cache, rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the given rows of a cache in batches.

    They are read, not mapped: the pages of a mapped file would count as memory of this process.
    """
    with kept.file:
        for start in range(0, len(rows), batch_size):
            yield read_rows(kept, rows[start : start + batch_size])


def read_rows(kept: Cache, rows: np.ndarray) -> np.ndarray:
    """Return rows of a cache as uint8 (n, 32, 32, 3)."""
    pixels = np.empty((len(rows), *IMAGE_SHAPE), np.uint8)
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    for run in np.split(np.arange(len(rows)), breaks):
        kept.file.seek(kept.offset + int(rows[run[0]]) * IMAGE_BYTES)
        part = pixels[run[0] : run[-1] + 1]
        if kept.file.readinto(part.data) != part.nbytes:  # type: ignore[attr-defined]
            raise UserError(f"{kept.file.name} was cut off. Delete it and run this again.")
    return pixels


def recorded(batches: Survey, path: Path, split: str, count: int) -> Survey:
    """Yield the batches of `count` images, and keep their pixels at `path` if none is broken."""
    with closing(CacheWriter(path, split, count)) as writer:
        for pixels, faults in batches:
            if faults:
                writer.close()
            writer.write(pixels)
            yield pixels, faults
        writer.publish()


class CacheWriter:
    """Writes a cache beside its final name; says so if that fails, and keeps nothing."""

    def __init__(self, path: Path, split: str, count: int) -> None:
        self._path = path
        # Its own for each process: should someone delete the folder with its lock meanwhile, two
        # may write at once.
        self._partial = reserved_path(path, f"{os.getpid()}.partial")
        self._file: IO[bytes] | None = None
        self._stack = ExitStack()
        try:
            self._stack.enter_context(lock(path.parent, "reading of all images"))
            remove_others(path, split)
            refuse_full_disk(path, count * IMAGE_BYTES)
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

    def publish(self) -> None:
        """Move the cache, now whole, to its final name."""
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
        say(f"Decoded images are not kept, which only costs time later: {reason}")
        self.close()

    def close(self) -> None:
        """Leave nothing but a whole cache."""
        self._file = None
        self._stack.close()


def remove_others(path: Path, split: str) -> None:
    """Remove the caches of other files, and what killed processes left."""
    for other in caches(path.parent, split):
        other.unlink(missing_ok=True)
    for partial in path.parent.glob(f"{RESERVED}.{split}-*.partial"):
        remove_reserved(partial)


def refuse_full_disk(path: Path, size: int) -> None:
    """Raise a UserError unless the disk has room for a cache and, beside it, for other work."""
    free = shutil.disk_usage(path.parent).free
    if free < 2 * size:
        raise UserError(
            f"{path} takes {size / 2**20:,.0f} MiB, and only {free / 2**20:,.0f} MiB are free."
        )
