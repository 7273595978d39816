"""Runs and test images to probabilities by id."""

import hashlib
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data.images import image_paths, read_images, require_folder
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, read_json, write_json
from kaggle_cifar.models.inference import (
    compile_forward,
    read_array,
    read_probabilities,
    require_finite,
    write_array,
    write_probabilities,
)
from kaggle_cifar.ownership import regular_file, remove_reserved, reserved_path
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.run import Run

BATCH_SIZE = 500  # images
PART_SIZE = 10_000  # images: what a kill may cost at most; a multiple of BATCH_SIZE


def predict(
    project: ProjectPaths,
    runs: list[Run],
    views: str = "plain",
    weights: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the test ids int64 (n,), ascending, and probabilities float32 (n, 10).

    The probabilities are the mean over the runs, weighted with `weights`, of sum 1, where they
    are given. Those of each run are kept in its folder, one file for each of `inference.VIEWS`,
    and computed only where its weights or the test images have changed since.

    Raises
    ------
    UserError
        When a run is unfinished or damaged, or a test image is missing or broken.
    """
    ids = submission_ids(project)
    images = fingerprint(project, ids)
    mean = np.zeros((len(ids), len(CLASS_NAMES)))
    for run, weight in zip(runs, weights or [1 / len(runs)] * len(runs), strict=True):
        mean += weight * test_probabilities(project, run, ids, images, views)
    return ids, mean.astype(np.float32)


def fingerprint(project: ProjectPaths, ids: np.ndarray) -> str | None:
    """Return a digest that changes with the test images; None where they are not on this machine.

    It is made of the ids and the manifest; for a folder that was unpacked by hand, of each
    file's size and time.
    """
    if not project.images("test").is_dir():
        return None
    digest = hashlib.sha256(ids.tobytes())
    manifest = project.manifest("test")
    if manifest.exists():
        digest.update(manifest.read_bytes())
        return digest.hexdigest()
    for path in image_paths(project, "test", ids):
        try:
            status = os.stat(path)  # noqa: PTH116 - 300,000 times
        except FileNotFoundError:
            raise UserError(f"{path} is missing. Run `kaggle-cifar extract`.") from None
        digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()


def test_probabilities(
    project: ProjectPaths, run: Run, ids: np.ndarray, images: str | None, views: str
) -> np.ndarray:
    """Return one run's probabilities float32 (n, 10), from its folder where they are there.

    Without the images, those that were made elsewhere count, if they are of these ids.

    Raises
    ------
    NotFiniteError
        When the network or a kept file gives a probability that is not a number.
    """
    run.require_finished()
    key = {"weights_sha256": run.weights_sha256(), "views": views, "test_images_sha256": images}
    result = run.probabilities_file("test", views)
    with lock(run.folder, "prediction"):
        kept = kept_probabilities(result, key)
        if kept is not None and np.array_equal(kept["id"], ids):
            remove_reserved(_parts_folder(result))
            say(f"{run.name}: the predictions are there already, {result}.")
            return kept["probabilities"]
        require_folder(project, "test")
        regular_file(result)  # a folder of that name is refused
        result.unlink(missing_ok=True)
        parts = _start_parts(result, key)
        _predict_parts(project, run, ids, views, parts)
        probabilities = np.concatenate([_read_part(file) for file in _part_files(parts, len(ids))])
        write_json(_key_file(result), key)
        write_probabilities(result, ids, probabilities)
        remove_reserved(parts)
    return probabilities


def kept_probabilities(result: Path, key: dict[str, str | None]) -> np.ndarray | None:
    """Return the rows at `result` when they were made as `key` says, whose None is any value."""
    made = _read_key(_key_file(result))
    if not isinstance(made, dict) or not result.exists():
        return None
    differing = [name for name in key if key[name] not in (None, made.get(name))]
    return None if differing or made.keys() != key.keys() else read_probabilities(result)


def _key_file(result: Path) -> Path:
    return result.with_suffix(".json")


def _read_key(file: Path) -> Any:
    return read_json(file) if file.exists() else None


def _parts_folder(result: Path) -> Path:
    return reserved_path(result, "parts")


def _start_parts(result: Path, key: dict[str, str | None]) -> Path:
    """Return the folder of finished parts, emptied unless they belong to `key`."""
    folder = _parts_folder(result)
    if _read_key(folder / "key.json") != key:
        remove_reserved(folder)
        write_json(folder / "key.json", key)
    return folder


def _part_files(folder: Path, count: int) -> list[Path]:
    return [folder / f"{start:06d}.npy" for start in range(0, count, PART_SIZE)]


def _read_part(file: Path) -> np.ndarray:
    probabilities = read_array(file, np.dtype(np.float32), (len(CLASS_NAMES),))
    require_finite(probabilities, file)
    return probabilities


def _predict_parts(
    project: ProjectPaths, run: Run, ids: np.ndarray, views: str, folder: Path
) -> None:
    """Write the parts that are missing, in one pass over their images."""
    files = _part_files(folder, len(ids))
    done = next((i for i, file in enumerate(files) if not file.exists()), len(files))
    first = min(done * PART_SIZE, len(ids))
    if first == len(ids):
        return
    start_tensorflow()
    forward = compile_forward(run.load_model(), views)
    with progress_bar(f"Predicting with {run.name}", len(ids), "images", first) as bar:
        part: list[np.ndarray] = []
        # From the first image on, so that where there is no cache yet, one comes to be.
        batches = read_images(project, "test", ids, BATCH_SIZE)
        for batch in islice(batches, first // BATCH_SIZE, None):
            part.append(np.asarray(forward(batch)))
            require_finite(part[-1], run.weights_file)
            bar.update(len(batch))
            if len(part) * BATCH_SIZE == PART_SIZE:
                write_array(files[done], np.concatenate(part))
                part, done = [], done + 1
        if part:
            write_array(files[done], np.concatenate(part))
