"""Runs and test images to probabilities by id."""

import os
from collections.abc import Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data.decoding import BrokenImageError
from kaggle_cifar.data.images import image_paths, read_images, require_folder
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.data.sources import how_to_extract
from kaggle_cifar.devices.gpus import require_usable_devices
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, read_json, read_object, write_json
from kaggle_cifar.models.inference import (
    Forward,
    compile_forward,
    merge_views,
    read_array,
    read_probabilities,
    require_probabilities,
    write_array,
    write_probabilities,
)
from kaggle_cifar.ownership import regular_file, remove_reserved, reserved_path
from kaggle_cifar.prediction.adaptive_tta import find_threshold, is_unsure
from kaggle_cifar.tensorflow_setup import (
    describe_devices,
    dtype_policy,
    start_tensorflow,
)
from kaggle_cifar.training.run import Run, how_to_replace

BATCH_SIZE = 500  # images
PART_SIZE = 10_000  # images: the most that a kill can cost; a multiple of BATCH_SIZE

Key = dict[str, Any]  # what probabilities were computed from
ANY_IMAGES = ("test_images_sha256", None)


def predict(
    project: ProjectPaths,
    runs: list[Run],
    views: str = "plain",
    weights: Sequence[float] | None = None,
    adaptive: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the test ids int64 (n,), ascending, and probabilities float32 (n, 10).

    The probabilities are the mean over the runs, or their sum weighted by `weights`. Each run's
    folder keeps its own, in a file for each of `inference.VIEWS`. They are computed only if the
    run's weights or the test images have changed since. If `adaptive`, the views "tta" are for
    the images that the run is unsure of, and a run that has predicted all of them in all views
    keeps that.

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
        mean += weight * test_probabilities(project, run, ids, images, views, adaptive)
    return ids, mean.astype(np.float32)


def equal_weights(runs: Sequence[Run]) -> list[float]:
    """Return the weights of an ensemble whose runs count equally."""
    return [1 / len(runs)] * len(runs)


def how_to_predict(project: ProjectPaths, run: Run, views: str, damaged: Path | None = None) -> str:
    """Return the sentence on how to get the probabilities of a run's test images again."""
    command = project.command("predict", run.name, *(["--tta"] if views == "tta" else []))
    return f"Delete {damaged}, then run `{command}`." if damaged else f"Run `{command}`."


def digest_images(project: ProjectPaths, ids: np.ndarray) -> str | None:
    """Return a digest that changes with the test images; None if their folder is missing.

    It covers the ids and the manifest. Without a manifest, it covers each file's size and time.
    """
    if not project.images("test").is_dir():
        return None
    digest = sha256(ids.tobytes())
    manifest = project.manifest("test")
    if manifest.exists():
        digest.update(manifest.read_bytes())
        return digest.hexdigest()
    for path in image_paths(project, "test", ids):
        try:
            status = os.stat(path)  # noqa: PTH116 - 300,000 times
        except FileNotFoundError:
            remedy = how_to_extract(project.images("test"))
            raise BrokenImageError(path, "is missing", remedy) from None
        digest.update(f"{status.st_size} {status.st_mtime_ns} ".encode())
    return digest.hexdigest()


def test_probabilities(
    project: ProjectPaths,
    run: Run,
    ids: np.ndarray,
    images: str | None,
    views: str,
    adaptive: bool = True,
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
    origin: Key = {"weights_sha256": run.weights_sha256(), "test_images_sha256": images}
    with lock(run.folder, "prediction"):
        if views == "plain":
            return plain_probabilities(project, run, ids, origin)
        threshold = find_threshold(run) if adaptive else None
        return tta_probabilities(project, run, ids, origin, threshold)


def plain_probabilities(
    project: ProjectPaths, run: Run, ids: np.ndarray, origin: Key
) -> np.ndarray:
    """Return the probabilities of the images themselves, float32 (n, 10)."""
    result, key = run.probabilities_file("test", "plain"), {**origin, "views": "plain"}
    kept = kept_probabilities(project, run, ids, key)
    if kept is not None:
        say(f"{run.name}: the test images are already predicted, see {result}.")
        return kept
    probabilities = predict_parts(project, run, ids, "plain", parts_of(project, result, key))
    keep_probabilities(result, ids, probabilities, key)
    return probabilities


def tta_probabilities(
    project: ProjectPaths, run: Run, ids: np.ndarray, origin: Key, threshold: float | None
) -> np.ndarray:
    """Return the probabilities float32 (n, 10) with TTA for each image below the threshold.

    They are kept with the threshold and the number of these images.
    """
    result, key = run.probabilities_file("test", "tta"), {**origin, "views": "tta"}
    for allowed in (None, threshold):  # None is all images in all views, at least as accurate
        kept = kept_probabilities(project, run, ids, {**key, "tta_threshold": allowed})
        if kept is not None:
            say(f"{run.name}: the test images are already predicted, see {result}.")
            say(describe_tta(project, run, len(ids)))
            return kept
    probabilities = plain_probabilities(project, run, ids, origin)
    unsure = is_unsure(probabilities, threshold)
    chosen = ids[unsure]
    key |= {"tta_threshold": threshold, "all_views": len(chosen)}
    parts = parts_of(project, result, {**key, "ids_sha256": sha256(chosen.tobytes()).hexdigest()})
    augmented = predict_parts(project, run, chosen, "augmented", parts)
    probabilities[unsure] = merge_views(probabilities[unsure], augmented)
    keep_probabilities(result, ids, probabilities, key)
    say(describe_tta(project, run, len(ids)))
    return probabilities


# Kept probabilities


def kept_probabilities(
    project: ProjectPaths, run: Run, ids: np.ndarray, key: Key
) -> np.ndarray | None:
    """Return the probabilities of `ids` that a run keeps for the views in `key`, if it fits them.

    If the digest of the images is None, it matches any.
    """
    views = key["views"]
    made, result = read_key(project, run, views), run.probabilities_file("test", views)
    if not made or not result.exists():
        return None
    if any(made.get(name) != value for name, value in key.items() if (name, value) != ANY_IMAGES):
        return None
    rows = read_probabilities(result, how_to_predict(project, run, views, damaged=result))
    if not np.array_equal(rows["id"], ids):
        return None
    remove_reserved(reserved_path(result, "parts"))
    return np.array(rows["probabilities"])


def keep_probabilities(result: Path, ids: np.ndarray, probabilities: np.ndarray, key: Key) -> None:
    """Replace the probabilities at `result` and their key; remove the finished parts."""
    regular_file(result).unlink(missing_ok=True)
    write_json(key_file(result), key)
    write_probabilities(result, ids, probabilities)
    remove_reserved(reserved_path(result, "parts"))


def kept_threshold(project: ProjectPaths, run: Run) -> float | None:
    """Return the threshold of a run's kept TTA; None if all images took all views."""
    threshold = read_key(project, run, "tta").get("tta_threshold")
    return None if threshold is None else float(threshold)


def describe_tta(project: ProjectPaths, run: Run, count: int) -> str:
    """Return what share of `count` test images took all views, as their key says."""
    key = read_key(project, run, "tta")
    all_views, threshold = key.get("all_views", count), key.get("tta_threshold")
    reason = "" if threshold is None else f": their margin is below {threshold}"
    return (
        f"{run.name}: {all_views / count:.1%} of the test images ({all_views:,} of {count:,}) "
        f"took all views{reason}."
    )


def key_file(result: Path) -> Path:
    """Return the file that says what the probabilities at `result` were computed from."""
    return result.with_suffix(".json")


def read_key(project: ProjectPaths, run: Run, views: str) -> Key:
    """Return what a run's test probabilities were computed from; {} if the file is missing."""
    file = key_file(run.probabilities_file("test", views))
    if not file.exists():
        return {}
    return read_object(file, how_to_predict(project, run, views, damaged=file))


# Parts, so that a killed prediction resumes


def parts_of(project: ProjectPaths, result: Path, key: Key) -> Path:
    """Make the folder of finished parts of `result`; keep those in it only if `key` fits.

    Raises
    ------
    DataMissingError
        If the test images are not extracted.
    ForeignPathError
        If `result` leads to anything but a regular file.
    """
    require_folder(project, "test")
    regular_file(result)
    folder = reserved_path(result, "parts")
    if not has_key(folder / "key.json", key):
        remove_reserved(folder)
        write_json(folder / "key.json", key)
    return folder


def has_key(file: Path, key: Key) -> bool:
    """Return whether a file holds the key of these parts; a missing or damaged one does not."""
    try:
        return bool(read_json(file) == key)
    except UserError:
        return False


def part_files(folder: Path, count: int) -> list[Path]:
    """Return the files of the parts of `count` images."""
    return [folder / f"{start:06d}.npy" for start in range(0, count, PART_SIZE)]


def read_part(file: Path, remedy: str) -> np.ndarray:
    """Return the probabilities float32 (n, 10) of a part."""
    probabilities = read_array(file, np.dtype(np.float32), (len(CLASS_NAMES),), remedy)
    require_probabilities(probabilities, file, remedy)
    return probabilities


def load_forward(run: Run, views: str) -> Forward:
    """Return the compiled function of a run's network; say on which devices it predicts, and how.

    Raises as `require_usable_devices` and `Run.load_model`.
    """
    start_tensorflow()
    require_usable_devices()
    from kaggle_cifar.models.row_skipping import skip_unpooled  # imports TensorFlow

    policy = dtype_policy(run.read_recipe()[0].precision)
    forward = compile_forward(skip_unpooled(run.load_model(policy)), views)
    say(f"Predicting with {run.name} on {describe_devices()} in {policy}, without XLA.")
    return forward


def predict_parts(
    project: ProjectPaths, run: Run, ids: np.ndarray, views: str, folder: Path
) -> np.ndarray:
    """Return the probabilities float32 (n, 10) of `ids`; compute the parts that are missing."""
    files = part_files(folder, len(ids))
    done = next((i for i, file in enumerate(files) if not file.exists()), len(files))
    if done < len(files):
        write_parts(project, run, ids, views, files, done)
    empty = np.empty((0, len(CLASS_NAMES)), np.float32)
    kept_views = "plain" if views == "plain" else "tta"
    remedy = how_to_predict(project, run, kept_views, damaged=folder)
    return np.concatenate([empty, *(read_part(file, remedy) for file in files)])


def write_parts(
    project: ProjectPaths, run: Run, ids: np.ndarray, views: str, files: list[Path], done: int
) -> None:
    """Write all parts but the first `done`, in one pass over their images."""
    forward, first = load_forward(run, views), done * PART_SIZE
    with progress_bar(f"Predicting with {run.name}", len(ids), "images", first) as bar:
        part: list[np.ndarray] = []
        # Reading begins with the first image, because only a complete pass writes the cache.
        batches = read_images(project, "test", ids, BATCH_SIZE)
        for batch in islice(batches, first // BATCH_SIZE, None):
            part.append(np.asarray(forward(batch)))
            require_probabilities(part[-1], run.weights_file, how_to_replace(run.weights_file))
            bar.update(len(batch))
            if len(part) * BATCH_SIZE == PART_SIZE:
                write_array(files[done], np.concatenate(part))
                part, done = [], done + 1
        if part:
            write_array(files[done], np.concatenate(part))
