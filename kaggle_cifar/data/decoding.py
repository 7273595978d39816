"""Read PNGs from disk in parallel, compare their checksums and decode them to pixels."""

import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.data.parallel import THREADS, in_order
from kaggle_cifar.data.png import UndecodableError, decode_png, decode_pngs
from kaggle_cifar.data.sources import archive_of, how_to_extract, how_to_restore
from kaggle_cifar.errors import UserError

# Reading a file holds Python's lock and decoding does not: one more thread keeps all cores busy.
DECODERS = THREADS + 1
UNKNOWN = -1  # the checksum of a file that no manifest lists


class BrokenImageError(UserError):
    """The file at `path` is not the PNG that was extracted; `what` is its fault."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        self.path, self.what = path, what
        super().__init__(f"{path} {what}. Expected a whole PNG of 32 x 32 pixels. {remedy}")


# For each batch: its readable images, uint8 (n, 32, 32, 3), and the faults of the others.
DecodedBatches = Iterator[tuple[np.ndarray, list[BrokenImageError]]]


def decoded_batches(paths: list[str], checksums: np.ndarray, batch_size: int) -> DecodedBatches:
    """Yield the readable images at `paths` in order, and the faults of the others."""
    starts = range(0, len(paths), batch_size)
    with ThreadPoolExecutor(DECODERS) as pool:
        parts = (slice(start, start + batch_size) for start in starts)
        futures = (pool.submit(decode_files, paths[part], checksums[part]) for part in parts)
        yield from in_order(futures, DECODERS + 1)


def decode_files(
    paths: list[str], checksums: np.ndarray
) -> tuple[np.ndarray, list[BrokenImageError]]:
    """Return the readable images at `paths`, uint8 (n, 32, 32, 3), and the faults of the others."""
    import tensorflow as tf

    try:
        contents = [read_file(path) for path in paths]
        found = np.fromiter(map(zlib.crc32, contents), np.int64, len(contents))
        if np.all((found == checksums) | (checksums == UNKNOWN)):
            return decode_pngs(contents), []
    except (OSError, ValueError, tf.errors.OpError):
        pass  # one of them is broken: decode each alone to find out which
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
        If the file is missing, unreadable, broken, or not the one that was extracted.
    """
    folder = Path(path).parent
    by_hand = f"Restore it, or move {folder} away. {how_to_extract(folder)}"
    try:
        content = read_file(path)
    except FileNotFoundError:
        remedy = by_hand if checksum == UNKNOWN else how_to_extract(folder)
        raise BrokenImageError(path, "is missing", remedy) from None
    except OSError as error:
        what = f"could not be read ({error.strerror or error})"
        raise BrokenImageError(path, what, "Make it readable, then run this again.") from None
    archive = archive_of(folder)
    is_extracted = zlib.crc32(content) == checksum
    remedy = f"Delete it. {how_to_extract(folder)}"
    if checksum == UNKNOWN:
        remedy = by_hand
    elif is_extracted:
        remedy = (
            f"{archive} holds this file. {how_to_restore(archive)} If the new archive is the same, "
            "the image is broken at its source."
        )
    try:
        pixels = decode_png(content)
    except UndecodableError as error:
        raise BrokenImageError(path, str(error), remedy) from None
    if not is_extracted and checksum != UNKNOWN:
        what = "is an image, but not the one that was extracted: its checksum differs"
        raise BrokenImageError(path, what, remedy)
    return pixels


def read_file(path: str) -> bytes:
    """Return the content of a file; much faster than `Path.read_bytes`."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - 300,000 times
        return file.read()
