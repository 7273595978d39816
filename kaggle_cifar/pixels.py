"""Images by id to pixels: decoded from their PNGs once, then read from `data/cache`.

A cache belongs to one manifest, whose digest is in its name, and each file was held against the
checksum in that manifest before its pixels went in: it cannot be stale. It comes to be in passing
when all images of a split are read, and may be deleted at any time. A folder that was unpacked by
hand has no manifest and gets no cache.
"""

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.errors import UserError
from kaggle_cifar.parallel import THREADS, in_order
from kaggle_cifar.progress import say
from kaggle_cifar.storage import Layout, explain_os_error, lock, sync

if TYPE_CHECKING:
    import tensorflow as tf

IMAGE_BYTES = int(np.prod(IMAGE_SHAPE))
# Reading a file holds Python's lock, decoding does not: with one thread more, no core waits.
DECODERS = THREADS + 1
GROUP = 16  # images that are decoded together
UNKNOWN = -1  # the checksum of a file of which no manifest tells


class BrokenImageError(UserError):
    """A file that is not a whole PNG of the competition's size; `what` says what it is."""

    def __init__(self, path: str, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(
            f"{path} {what}. Expected a whole PNG of 32 x 32 pixels. Delete the folder "
            f"{Path(path).parent} and run `kaggle-cifar extract` to restore its images."
        )


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

    From the cache, where there is one; else as `decode_images` does.

    Raises
    ------
    UserError
        When the folder or one of the files is missing or broken, or the disk fails.
    """
    require_folder(layout, split)
    manifest = read_manifest(layout, split)
    if manifest is not None:
        rows, known = manifest.rows(ids)
        path = cache_path(layout, split, manifest)
        if known.all() and (kept := load_cache(path, len(manifest.ids))):
            yield from cached_batches(kept, rows, batch_size)
            return
    yield from decode_images(layout, split, ids, batch_size)


def decode_images(
    layout: Layout, split: str, ids: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield the images of `ids` as `read_images` does, always from the files.

    All cores read and decode, a few batches ahead of the one in use. When the ids are all those
    of the folder's manifest, the pixels are kept in the cache.

    Raises
    ------
    BrokenImageError
        For the first file that is missing, broken, of the wrong size or not the one extracted.
    """
    paths = image_paths(layout, split, ids)
    manifest = read_manifest(layout, split)
    if manifest is None:
        yield from decoded_batches(paths, np.full(len(ids), UNKNOWN), batch_size)
        return
    rows, known = manifest.rows(ids)
    batches = decoded_batches(paths, np.where(known, manifest.checksums[rows], UNKNOWN), batch_size)
    path = cache_path(layout, split, manifest)
    if np.array_equal(ids, manifest.ids) and not is_whole(path, len(ids)):
        batches = recorded(batches, path, split, len(ids))
    yield from batches


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
    return [f"{layout.images(split)}/{image_id}.png" for image_id in ids]


def read_manifest(layout: Layout, split: str) -> Manifest | None:
    """Return the manifest of a split; None where the folder was unpacked by hand.

    Raises
    ------
    UserError
        When it is not one that extraction wrote.
    """
    path = layout.manifest(split)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        lines = content.decode("ascii").splitlines()
        table = np.loadtxt(lines[1:], np.int64, delimiter=",", ndmin=2)
        ids, _, checksums = table.T
    except (ValueError, OverflowError) as error:
        raise UserError(
            f"{path} is damaged ({error}): expected a row of id, size and CRC-32 an image. Delete "
            "it with the folder beside it and run `kaggle-cifar extract`."
        ) from None
    return Manifest(ids, checksums, hashlib.sha256(content).hexdigest())


# Decoding


def decoded_batches(
    paths: list[str], checksums: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield the images at `paths` in order; raise a BrokenImageError for the first that is none."""
    starts = range(0, len(paths), batch_size)
    with ThreadPoolExecutor(DECODERS) as pool:
        parts = (slice(start, start + batch_size) for start in starts)
        futures = (pool.submit(decode_files, paths[part], checksums[part]) for part in parts)
        yield from in_order(futures, DECODERS + 1)


def decode_files(paths: list[str], checksums: np.ndarray) -> np.ndarray:
    """Return the images at `paths` as uint8 (n, 32, 32, 3), once each checksum holds."""
    import tensorflow as tf

    try:
        contents = [read_file(path) for path in paths]
        pixels = decode_pngs(contents)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise first_broken_image(paths, checksums, error) from None
    found = np.fromiter(map(zlib.crc32, contents), np.int64, len(contents))
    if np.any((found != checksums) & (checksums != UNKNOWN)):
        raise first_broken_image(paths, checksums)
    return pixels


def read_file(path: str) -> bytes:
    """Return a file's content, at a fraction of what `Path.read_bytes` costs."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - 300,000 times
        return file.read()


def decode_pngs(contents: list[bytes]) -> np.ndarray:
    """Return PNGs as uint8 (n, 32, 32, 3); raise as TensorFlow does where one is broken."""
    filler = [contents[-1]] * (-len(contents) % GROUP)
    pixels: np.ndarray = compiled_decoder()(contents + filler).numpy()
    return pixels[: len(contents)]


@cache
def compiled_decoder() -> Any:
    """Return the compiled function from PNGs, string (n,), to pixels, uint8 (n, 32, 32, 3).

    n is a multiple of GROUP: a group is decoded by operations of its own, which spares most of
    what a loop over single images costs, a third of the whole.
    """
    import tensorflow as tf

    def decode_group(contents: "tf.Tensor") -> "tf.Tensor":
        images = [tf.io.decode_png(png, channels=3) for png in tf.unstack(contents, num=GROUP)]
        return tf.stack([tf.ensure_shape(image, IMAGE_SHAPE) for image in images])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string)])
    def decode(contents: "tf.Tensor") -> "tf.Tensor":
        with tf.device("CPU"):
            pixels = tf.map_fn(
                decode_group,
                tf.reshape(contents, (-1, GROUP)),
                fn_output_signature=tf.TensorSpec((GROUP, *IMAGE_SHAPE), tf.uint8),
            )
            return tf.reshape(pixels, (-1, *IMAGE_SHAPE))

    return decode


def first_broken_image(
    paths: list[str], checksums: np.ndarray, error: Exception | None = None
) -> UserError:
    """Return the sentence for the first of `paths` that is broken; `error` is what was raised."""
    for path, checksum in zip(paths, checksums, strict=True):
        what = fault_of(path, checksum)
        if what:
            return BrokenImageError(path, what)
    return UserError(f"The images could not be read: {error}")


def fault_of(path: str, checksum: int) -> str | None:
    """Return what is wrong with an image, or None."""
    import tensorflow as tf

    try:
        content = read_file(path)
        decode_pngs([content])
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"could not be read ({error.strerror or error})"
    except (tf.errors.OpError, ValueError):
        return describe_broken_image(Path(path))
    if checksum not in (UNKNOWN, zlib.crc32(content)):
        return "is an image, but not the one that was extracted: its checksum differs"
    return None


def describe_broken_image(path: Path) -> str:
    """Return what a file is that TensorFlow does not decode to an image of the right size."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
            if image.size != IMAGE_SHAPE[:2]:
                return f"has {image.width} x {image.height} pixels"
            return f"is a {image.format} file that does not decode"
    except UnidentifiedImageError:
        return f"is not an image ({path.stat().st_size:,} bytes)"
    except (OSError, SyntaxError, ValueError):
        return f"is damaged or cut off ({path.stat().st_size:,} bytes)"


# The cache


class Cache(NamedTuple):
    """A NumPy file of uint8 (n, 32, 32, 3), open; its rows are those of the manifest."""

    file: IO[bytes]
    offset: int  # of the first pixel, in bytes


def cache_path(layout: Layout, split: str, manifest: Manifest) -> Path:
    """Return the place of the pixels of the images that `manifest` lists."""
    return layout.cache / f"{split}-{manifest.digest[:16]}.npy"


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


def recorded(
    batches: Iterator[np.ndarray], path: Path, split: str, count: int
) -> Iterator[np.ndarray]:
    """Yield the batches of `count` images in all, and keep them at `path` in passing."""
    with closing(CacheWriter(path, split, count)) as writer:
        for batch in batches:
            writer.write(batch)
            yield batch
        writer.publish()


class CacheWriter:
    """Writes a cache beside its final name; where that fails, says so and does without."""

    def __init__(self, path: Path, split: str, count: int) -> None:
        self._path = path
        # Its own for each process: should someone delete the folder with its lock meanwhile, two
        # may write at once.
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._file: IO[bytes] | None = None
        self._stack = ExitStack()
        try:
            self._stack.enter_context(lock(path.parent, "reading of all images"))
            remove_others(path, split)
            refuse_full_disk(path, count * IMAGE_BYTES)
            self._stack.callback(self._partial.unlink, missing_ok=True)
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
    """Remove the caches of other manifests, and what killed processes left."""
    for pattern in (f"{split}-*.npy", f".{split}-*.partial"):
        for other in path.parent.glob(pattern):
            other.unlink(missing_ok=True)


def refuse_full_disk(path: Path, size: int) -> None:
    """Raise a UserError unless the disk has room for a cache and, beside it, for other work."""
    free = shutil.disk_usage(path.parent).free
    if free < 2 * size:
        raise UserError(
            f"{path} takes {size / 2**20:,.0f} MiB, and only {free / 2**20:,.0f} MiB are free."
        )
