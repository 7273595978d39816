"""The manifest of a folder of images: the id and checksum of each PNG that was extracted."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kaggle_cifar.data.sources import how_to_extract
from kaggle_cifar.errors import PathError, UserError


class CorruptManifestError(PathError):
    """The file at `path` is not a manifest that extraction wrote."""


class Manifest(NamedTuple):
    """What was extracted to a folder of images; the arrays are in ascending order of the ids."""

    ids: np.ndarray  # int64 (n,)
    checksums: np.ndarray  # CRC-32 of each file, int64 (n,)
    digest: str  # SHA-256 of the manifest

    def rows(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the row of each id, and whether that id is in the manifest: int64, bool (n,)."""
        rows = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        return rows, self.ids[rows] == ids


def images_of(path: Path) -> Path:
    """Return the folder of images that the manifest at `path` lists."""
    return path.with_name(path.name.partition(".")[0])


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest at `path`, or None if the images were unpacked by hand.

    Raises
    ------
    CorruptManifestError
        If extraction did not write the file.
    UserError
        If the file cannot be read.
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
        raise CorruptManifestError(
            path,
            f"{path} is damaged ({error}): expected a row of id, size and CRC-32 for each image. "
            f"Move it and {images_of(path)} away. {how_to_extract(images_of(path))}",
        ) from None
    return Manifest(ids, checksums, hashlib.sha256(content).hexdigest())
