"""Read images by id: decoded from their PNGs once, then from the cache in `data/cache`.

The cache is written when a command reads all images of a split. Images that were unpacked by hand
have no manifest and are not cached.
"""

from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np

from kaggle_cifar.console import say
from kaggle_cifar.data.cache import cache_path, cached, find_caches, is_cached, open_cache
from kaggle_cifar.data.decoding import UNKNOWN, BrokenImageError, decoded_batches
from kaggle_cifar.data.manifest import read_manifest
from kaggle_cifar.data.sources import how_to_extract
from kaggle_cifar.errors import DataMissingError
from kaggle_cifar.files import ProjectPaths


def read_images(
    project: ProjectPaths, split: str, ids: np.ndarray, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield the images of `ids` in order as uint8 (batch, 32, 32, 3); the last batch may be short.

    The pixels come from the cache if the files have not changed since. Otherwise the files are
    decoded.

    Raises
    ------
    DataMissingError
        If the folder of images is missing.
    BrokenImageError
        For the first file that is missing, broken, of the wrong size or not the one extracted.
    UserError
        If the disk fails.
    """
    require_folder(project, split)
    manifest = read_manifest(project.manifest(split))
    if manifest is not None:
        rows, known = manifest.rows(ids)
        if known.all():
            paths = image_paths(project, split, manifest.ids)
            path = cache_path(project.cache, split, manifest, paths)
            if cache := open_cache(path, len(manifest.ids)):
                with cache.file:
                    for start in range(0, len(rows), batch_size):
                        yield cache.read(rows[start : start + batch_size])
                return
            if find_caches(path.parent, split):
                say(
                    f"The files in {project.images(split)} changed since their pixels were cached "
                    f"in {path.parent}. Decoding them again and checking their checksums."
                )
    with closing(survey_images(project, split, ids, batch_size)) as batches:
        for pixels, faults in batches:
            if faults:
                raise faults[0]
            yield pixels


def survey_images(
    project: ProjectPaths, split: str, ids: np.ndarray, batch_size: int
) -> Generator[tuple[np.ndarray, list[BrokenImageError]]]:
    """Yield each batch's readable images, uint8 (n, 32, 32, 3), and the faults of the others.

    All cores decode, a few batches ahead. If `ids` are all ids of the manifest and no image is
    broken, the pixels are cached.
    """
    paths = image_paths(project, split, ids)
    manifest = read_manifest(project.manifest(split))
    if manifest is None:
        yield from decoded_batches(paths, np.full(len(ids), UNKNOWN), batch_size)
        return
    rows, known = manifest.rows(ids)
    checksums = np.where(known, manifest.checksums[rows], UNKNOWN)
    batches = decoded_batches(paths, checksums, batch_size)
    if np.array_equal(ids, manifest.ids):
        # Before the first file is read: if one changes meanwhile, the cache does not match it.
        path = cache_path(project.cache, split, manifest, paths)
        if not is_cached(path, len(ids)):
            batches = cached(batches, path, split, len(ids))
    yield from batches


def require_folder(project: ProjectPaths, split: str) -> None:
    """Raise a DataMissingError if the images of a split are not extracted."""
    folder = project.images(split)
    if not folder.is_dir():
        raise DataMissingError(
            folder,
            f"{folder} is missing: the {split} images are not extracted. {how_to_extract(folder)}",
        )


def image_paths(project: ProjectPaths, split: str, ids: np.ndarray) -> list[str]:
    """Return the path of each id's PNG.

    Raises
    ------
    DataMissingError
        If the folder of images is missing.
    """
    require_folder(project, split)
    return [f"{project.images(split)}/{image_id}.png" for image_id in ids.tolist()]
