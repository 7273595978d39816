"""PNG folders to ids, pixels and labels; the validation split; batches for training."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE, TRAIN_LABELS
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import progress_bar
from kaggle_cifar.storage import Layout
from kaggle_cifar.tables import read_training_labels

if TYPE_CHECKING:
    import tensorflow as tf

VALIDATION_SHARE = 0.2
# The same images for every seed of a training: runs can be compared and averaged image by image.
DRAW_SEED = 0
DECODE_BATCH = 256  # images; decoding in batches spares tf.data most of its cost an element
PREFETCHED = 4  # batches decoded ahead: enough to hide decoding, a few MB


class BrokenImageError(UserError):
    """A file that is not a whole PNG of the competition's size; `what` says what it is."""

    def __init__(self, path: str, what: str) -> None:
        self.path, self.what = path, what
        super().__init__(
            f"{path} {what}. Expected a whole PNG of 32 x 32 pixels. Delete the folder "
            f"{Path(path).parent} and run `kaggle-cifar extract` to restore its images."
        )


@dataclass(frozen=True)
class TrainingSet:
    """Labelled images in ascending order of their ids; all arrays have n rows."""

    ids: np.ndarray  # int64 (n,)
    labels: np.ndarray  # int32 (n,), indices into CLASS_NAMES
    pixels: np.ndarray  # uint8 (n, 32, 32, 3)

    def take(self, rows: np.ndarray) -> "TrainingSet":
        """Return the given rows, in the given order."""
        return TrainingSet(self.ids[rows], self.labels[rows], self.pixels[rows])

    def __len__(self) -> int:
        return len(self.ids)


def load_training_set(layout: Layout, limit: int | None = None) -> TrainingSet:
    """Return the training images with their labels, all or a stratified `limit` of them.

    Raises
    ------
    UserError
        When labels or images are missing, doubled, unknown, broken or of the wrong size.
    """
    ids, labels = read_training_labels(layout.raw / TRAIN_LABELS)
    if limit is not None:
        rows = stratified_choice(labels, limit, np.random.default_rng(DRAW_SEED))
        ids, labels = ids[rows], labels[rows]
    paths = image_paths(layout, "train", ids)
    pixels = np.empty((len(paths), *IMAGE_SHAPE), np.uint8)
    with progress_bar("Reading training images", len(paths), "images") as bar:
        start = 0
        for batch in decoded_batches(paths, DECODE_BATCH):
            pixels[start : start + len(batch)] = batch
            start += len(batch)
            bar.update(len(batch))
    return TrainingSet(ids, labels, pixels)


def stratified_choice(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` row numbers, ascending, with each class in its share of `labels`.

    Raises
    ------
    UserError
        When there are fewer rows, or fewer than one a class is asked for.
    """
    if not len(CLASS_NAMES) <= count <= len(labels):
        raise UserError(
            f"{count:,} images were asked for: it must be at least {len(CLASS_NAMES)}, one a "
            f"class, and at most {len(labels):,}, as many as are labelled."
        )
    sizes = np.bincount(labels, minlength=len(CLASS_NAMES))
    shares = sizes * count / len(labels)
    counts = np.floor(shares).astype(int)
    largest_remainders = np.argsort(counts - shares, kind="stable")
    counts[largest_remainders[: count - counts.sum()]] += 1
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[: counts[label]]
        for label in range(len(CLASS_NAMES))
    ]
    return np.sort(np.concatenate(rows))


def split_validation(labels: np.ndarray, validation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the row numbers to train on and those to validate on, both ascending.

    `validation` is "last20" (the last 20 % of the rows, as Keras' `validation_split` and the
    student project have it), "stratified" (20 % of each class, drawn), "none", or a fold like
    "fold2of5" (the second of five equal stratified parts, drawn).
    """
    rows = np.arange(len(labels))
    if validation == "none":
        return rows, rows[:0]
    if validation == "last20":
        cut = int(len(rows) * (1 - VALIDATION_SHARE))
        return rows[:cut], rows[cut:]
    if validation == "stratified":
        count = round(len(rows) * VALIDATION_SHARE)
        chosen = stratified_choice(labels, count, np.random.default_rng(DRAW_SEED))
        return np.setdiff1d(rows, chosen), chosen
    if fold := re.fullmatch(r"fold(\d+)of(\d+)", validation):
        rng = np.random.default_rng(DRAW_SEED)
        chosen = stratified_fold(labels, int(fold[1]), int(fold[2]), rng)
        return np.setdiff1d(rows, chosen), chosen
    raise ValueError(f"Unknown validation split {validation!r}.")


def stratified_fold(
    labels: np.ndarray, fold: int, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the row numbers, ascending, of one of `folds` parts; `fold` counts from one."""
    by_class = [
        rng.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASS_NAMES))
    ]
    # Dealt out in turn, class after class, the parts differ by one row at most, also in a class.
    return np.sort(np.concatenate(by_class)[fold - 1 :: folds])


def image_paths(layout: Layout, split: str, ids: np.ndarray) -> list[str]:
    """Return the path of each id's PNG.

    Raises
    ------
    UserError
        When the folder is missing.
    """
    folder = layout.images(split)
    if not folder.is_dir():
        raise UserError(
            f"{folder} is missing: the {split} images are not extracted. Run "
            "`kaggle-cifar download`, or `kaggle-cifar extract` when the archives are in "
            f"{layout.raw}."
        )
    return [f"{folder}/{image_id}.png" for image_id in ids]


def decoded_batches(paths: list[str], batch_size: int) -> Iterator[np.ndarray]:
    """Yield the images at `paths` in order as uint8 (batch, 32, 32, 3), the last batch short.

    Files are read and decoded by all cores, a few batches ahead of the one in use.

    Raises
    ------
    BrokenImageError
        For the first file that is missing, broken or of the wrong size.
    """
    import tensorflow as tf

    dataset = (
        tf.data.Dataset.from_tensor_slices(tf.constant(paths))
        .batch(batch_size)
        .map(_decode_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(PREFETCHED)
    )
    position = 0
    try:
        for batch in dataset.as_numpy_iterator():
            yield batch
            position += len(batch)
    except tf.errors.OpError as error:
        raise _explain_broken_image(paths[position : position + batch_size], error) from None


def _decode_batch(paths: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    return tf.map_fn(_decode, paths, fn_output_signature=tf.TensorSpec(IMAGE_SHAPE, tf.uint8))


def _decode(path: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    return tf.ensure_shape(tf.io.decode_png(tf.io.read_file(path), channels=3), IMAGE_SHAPE)


def _explain_broken_image(paths: list[str], error: Exception) -> UserError:
    """Return the sentence for the first of `paths` that does not decode, after TensorFlow's."""
    import tensorflow as tf

    for path in paths:
        try:
            _decode(tf.constant(path))
        except tf.errors.NotFoundError:
            what = "is missing"
        except (tf.errors.OpError, ValueError):
            what = _describe_broken_image(Path(path))
        else:
            continue
        return BrokenImageError(path, what)
    return UserError(f"The images could not be read: {error}")


def _describe_broken_image(path: Path) -> str:
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
