"""Load images and their labels as a training set, and split off a validation set."""

from dataclasses import dataclass

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE, TRAIN_LABELS
from kaggle_cifar.console import counted, progress_bar
from kaggle_cifar.data.images import read_images
from kaggle_cifar.data.labels import read_training_labels
from kaggle_cifar.data.validation_split import parse_fold
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths

VALIDATION_SHARE = 0.2
READ_BATCH = 512  # images
# The same images for every seed of a run, so that runs can be compared image by image.
DRAW_SEED = 0


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


def load_training_set(project: ProjectPaths, limit: int | None = None) -> TrainingSet:
    """Return the training images with their labels, all or a stratified `limit` of them.

    Raises
    ------
    UserError
        If labels or images are missing, duplicate, unknown, broken or of the wrong size.
    """
    ids, labels = load_labels(project, limit)
    pixels = np.empty((len(ids), *IMAGE_SHAPE), np.uint8)
    with progress_bar("Reading training images", len(ids), "images") as bar:
        start = 0
        for batch in read_images(project, "train", ids, READ_BATCH):
            pixels[start : start + len(batch)] = batch
            start += len(batch)
            bar.update(len(batch))
    return TrainingSet(ids, labels, pixels)


def load_labels(project: ProjectPaths, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids int64 (n,), ascending, and the labels int32 (n,) of the training images.

    Raises
    ------
    UserError
        If the labels are missing or invalid, or fewer than `limit`.
    """
    ids, labels = read_training_labels(project.raw / TRAIN_LABELS)
    if limit is None:
        return ids, labels
    rows = stratified_choice(labels, limit, np.random.default_rng(DRAW_SEED))
    return ids[rows], labels[rows]


def check_split(project: ProjectPaths, limit: int | None, validation: str) -> None:
    """Raise a SplitError if the images cannot be split like this; only the labels are read."""
    _, labels = load_labels(project, limit)
    split_validation(labels, validation)


class LimitError(UserError):
    """A subset of `limit` images is too small, or larger than the training set."""

    def __init__(self, limit: int, available: int) -> None:
        super().__init__(
            f"Invalid number of images {limit:,}; use {len(CLASS_NAMES)} (one for each class) to "
            f"{available:,} (all labelled images)."
        )
        self.limit = limit


class SplitError(UserError):
    """A split of `images` images leaves none to train on or none to validate on."""

    def __init__(self, validation: str, images: int) -> None:
        super().__init__(
            f"A training set of {counted(images, 'image')} is too small for `--validation "
            f"{validation}`: at least one is needed to train on and one to validate on. Use a "
            "higher --limit, fewer folds or another --validation."
        )
        self.images = images


def stratified_choice(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return `count` row numbers, ascending, with the class shares of `labels`.

    Raises
    ------
    LimitError
        If there are fewer rows, or `count` is less than one for each class.
    """
    if not len(CLASS_NAMES) <= count <= len(labels):
        raise LimitError(count, len(labels))
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

    `validation` is "last20" (the last 20 % of the rows, as in Keras' `validation_split` and the
    student project), "stratified" (a random 20 % of each class), "none", or a fold such as
    "fold2of5" (the second of five equal, random and stratified parts).

    Raises
    ------
    SplitError
        If nothing is left to train on or to validate on.
    """
    rows = np.arange(len(labels))
    if validation == "none":
        return rows, rows[:0]
    chosen = choose_validation(labels, validation)
    if not 0 < len(chosen) < len(rows):
        raise SplitError(validation, len(rows))
    return np.setdiff1d(rows, chosen), chosen


def choose_validation(labels: np.ndarray, validation: str) -> np.ndarray:
    """Return the row numbers to validate on, ascending; they may be none or all rows."""
    rng = np.random.default_rng(DRAW_SEED)
    if validation == "last20":
        return np.arange(int(len(labels) * (1 - VALIDATION_SHARE)), len(labels))
    if validation == "stratified":
        count = round(len(labels) * VALIDATION_SHARE)
        enough = count >= len(CLASS_NAMES)  # for one of each class
        return stratified_choice(labels, count, rng) if enough else np.arange(0)
    if fold := parse_fold(validation):
        return stratified_fold(labels, fold.number, fold.count, rng)
    raise ValueError(f"Unknown validation split {validation!r}.")


def stratified_fold(
    labels: np.ndarray, fold: int, folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the row numbers, ascending, of one of `folds` parts; the first `fold` is 1."""
    by_class = [
        rng.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASS_NAMES))
    ]
    # Dealing the rows out in turn, class by class, makes the parts equal but for one row, in each
    # class too.
    return np.sort(np.concatenate(by_class)[fold - 1 :: folds])
