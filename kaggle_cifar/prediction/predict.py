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
from kaggle_cifar.data.decoding import BrokenImageError
from kaggle_cifar.data.images import image_paths, read_images, require_folder
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.devices.gpus import require_usable_devices
from kaggle_cifar.files import ProjectPaths, lock, read_json, write_json
from kaggle_cifar.models.inference import (
    Forward,
    compile_forward,
    read_array,
    read_probabilities,
    require_probabilities,
    write_array,
    write_probabilities,
)
from kaggle_cifar.ownership import regular_file, remove_reserved, reserved_path
from kaggle_cifar.tensorflow_setup import (
    describe_devices,
    dtype_policy,
    start_tensorflow,
)
from kaggle_cifar.training.run import Run

BATCH_SIZE = 500  # images
PART_SIZE = 10_000  # images: the most that a kill can cost; a multiple of BATCH_SIZE


def predict(
    project: ProjectPaths,
    runs: list[Run],
    views: str = "plain",
    weights: Sequence[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the test ids int64 (n,), ascending, and probabilities float32 (n, 10).

    The probabilities are the mean over the runs, or their sum weighted by `weights`. Each run's
    folder keeps its own, in a file for each of `inference.VIEWS`. They are computed only if the
    run's weights or the test images have changed since.

    Raises
    ------
    BrokenImageError
        If a test image is missing or broken.
    UserError
        If a run is unfinished or damaged.
    """
    ids = submission_ids(project)
    images = digest_images(project, ids)
    mean = np.zeros((len(ids), len(CLASS_NAMES)))
    for run, weight in zip(runs, weights or equal_weights(runs), strict=True):
        mean += weight * test_probabilities(project, run, ids, images, views)
    return ids, mean.astype(np.float32)


def equal_weights(runs: Sequence[Run]) -> list[float]:
    """Return the weights of an ensemble whose runs count equally."""
    return [1 / len(runs)] * len(runs)


def digest_images(project: ProjectPaths, ids: np.ndarray) -> str | None:
    """Return a digest that changes with the test images; None if their folder is missing.

    It covers the ids and the manifest. Without a manifest, it covers each file's size and time.
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
            raise BrokenImageError(path, "is missing", "Run `kaggle-cifar extract`.") from None
        digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()


def test_probabilities(
    project: ProjectPaths, run: Run, ids: np.ndarray, images: str | None, views: str
) -> np.ndarray:
    """Return one run's probabilities float32 (n, 10), from its folder if they are there.

    `images` is the digest of the test images. If it is None, probabilities that another machine
    computed for these ids are used.

    Raises
    ------
    NotProbabilitiesError
        If the network or a kept file gives a probability that is not a number.
    """
    run.require_finished()
    key = {"weights_sha256": run.weights_sha256(), "views": views, "test_images_sha256": images}
    result = run.probabilities_file("test", views)
    parts = reserved_path(result, "parts")
    with lock(run.folder, "prediction"):
        kept = kept_probabilities(result, key)
        if kept is not None and np.array_equal(kept["id"], ids):
            remove_reserved(parts)
            say(f"{run.name}: the test images are already predicted, see {result}.")
            return np.asarray(kept["probabilities"])
        require_folder(project, "test")
        regular_file(result).unlink(missing_ok=True)
        require_parts(parts, key)
        predict_parts(project, run, ids, views, parts)
        probabilities = np.concatenate([read_part(file) for file in part_files(parts, len(ids))])
        write_json(key_file(result), key)
        write_probabilities(result, ids, probabilities)
        remove_reserved(parts)
    return probabilities


# Kept probabilities


def kept_probabilities(result: Path, key: dict[str, str | None]) -> np.ndarray | None:
    """Return the rows at `result` if `key` describes them; a None in it matches any value."""
    made = read_key(key_file(result))
    if not isinstance(made, dict) or made.keys() != key.keys() or not result.exists():
        return None
    differing = [name for name in key if key[name] not in (None, made[name])]
    return None if differing else read_probabilities(result)


def key_file(result: Path) -> Path:
    """Return the file that says what the probabilities at `result` were computed from."""
    return result.with_suffix(".json")


def read_key(file: Path) -> Any:
    """Return the content of a key file; None if it is missing."""
    return read_json(file) if file.exists() else None


# Parts, so that a killed prediction resumes


def require_parts(folder: Path, key: dict[str, str | None]) -> None:
    """Make the folder of finished parts; keep the parts in it only if they have the same key."""
    if read_key(folder / "key.json") != key:
        remove_reserved(folder)
        write_json(folder / "key.json", key)


def part_files(folder: Path, count: int) -> list[Path]:
    """Return the files of the parts of `count` images."""
    return [folder / f"{start:06d}.npy" for start in range(0, count, PART_SIZE)]


def read_part(file: Path) -> np.ndarray:
    """Return the probabilities float32 (n, 10) of a part."""
    probabilities = read_array(file, np.dtype(np.float32), (len(CLASS_NAMES),))
    require_probabilities(probabilities, file)
    return probabilities


def load_forward(run: Run, views: str) -> Forward:
    """Return the compiled function of a run's network; say on which devices it predicts, and how.

    Raises as `require_usable_devices` and `Run.load_model`.
    """
    start_tensorflow()
    require_usable_devices()
    policy = dtype_policy(run.read_recipe()[0].precision)
    forward = compile_forward(run.load_model(policy), views)
    say(f"Predicting with {run.name} on {describe_devices()} in {policy}, without XLA.")
    return forward


def predict_parts(
    project: ProjectPaths, run: Run, ids: np.ndarray, views: str, folder: Path
) -> None:
    """Write the parts that are missing, in one pass over their images."""
    files = part_files(folder, len(ids))
    done = next((i for i, file in enumerate(files) if not file.exists()), len(files))
    first = min(done * PART_SIZE, len(ids))
    if first == len(ids):
        return
    forward = load_forward(run, views)
    with progress_bar(f"Predicting with {run.name}", len(ids), "images", first) as bar:
        part: list[np.ndarray] = []
        # Reading begins with the first image, because only a complete pass writes the cache.
        batches = read_images(project, "test", ids, BATCH_SIZE)
        for batch in islice(batches, first // BATCH_SIZE, None):
            part.append(np.asarray(forward(batch)))
            require_probabilities(part[-1], run.weights_file)
            bar.update(len(batch))
            if len(part) * BATCH_SIZE == PART_SIZE:
                write_array(files[done], np.concatenate(part))
                part, done = [], done + 1
        if part:
            write_array(files[done], np.concatenate(part))
