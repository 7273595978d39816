"""Draw a small offline competition in Kaggle's layout: one shape for each class.

Position, size, angle, colours and background are random and independent of the class, so only the
shape depends on it. A linear classifier on the pixels gets a quarter of the images right, a small
convolutional network nearly all of them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import (
    CLASS_NAMES,
    IMAGE_SIZE,
    SAMPLE_SUBMISSION,
    TEST_ARCHIVE,
    TRAIN_ARCHIVE,
    TRAIN_LABELS,
)
from kaggle_cifar.console import say
from kaggle_cifar.data.labels import HEADER, read_training_labels
from kaggle_cifar.data.png import encode_png
from kaggle_cifar.data.sources import SOLUTION
from kaggle_cifar.errors import PathError
from kaggle_cifar.files import atomic_write, explain_os_error, lock, write_text
from kaggle_cifar.ownership import RESERVED, ForeignPathError, remove_reserved

SAMPLE_FILES = (TRAIN_ARCHIVE, TEST_ARCHIVE, TRAIN_LABELS, SAMPLE_SUBMISSION, SOLUTION)

# Enough for the tuned Model 3 to learn in the demo's few minutes on two cores. More than a thousand
# ids each, so that the order of a folder's listing differs from that of the ids.
TRAIN_COUNT = 4_000
TEST_COUNT = 3_000
SCORED_SHARE = 0.5  # of the test images; the others are junk, as in Kaggle's test set

RADII = (7.0, 12.0)  # pixels
CONTRAST = (100.0, 200.0)  # distance of shape and background in RGB, of at most 441
NOISE = 6.0  # standard deviation, grey levels
BATCH = 500  # images painted at once, which bounds the memory

FINER = 4  # times as many pixels a side as in the image, which smooths a shape's edge
FILLED, EMPTY = 255, 0
Shape = list[tuple[np.ndarray, int]]  # outlines to draw one over the other, FILLED or EMPTY


class OtherSampleError(PathError):
    """The sample in the folder `path` was drawn with another seed than `seed`."""

    def __init__(self, path: Path, seed: int) -> None:
        super().__init__(
            path,
            f"{path} holds a sample of another seed than {seed}, so nothing was drawn. Use another "
            f"folder, or delete {', '.join(SAMPLE_FILES)} there first.",
        )
        self.seed = seed


def draw_sample(
    folder: Path, seed: int = 0, train_count: int = TRAIN_COUNT, test_count: int = TEST_COUNT
) -> None:
    """Write a small competition to `folder`: archives, labels, sample submission, solution.

    The same seed and counts give the same images and tables. If this sample exists, nothing is
    changed. `solution.csv` (`id,label,Usage`) holds only the scored test ids.

    Raises
    ------
    OtherSampleError
        If `folder` holds a sample of another seed.
    ForeignPathError
        If `folder` holds some of the files but not a whole sample.
    UserError
        If `folder` cannot be written.
    """
    with lock(folder, "sample"):
        if all((folder / name).exists() for name in SAMPLE_FILES):
            require_same_sample(folder, seed, train_count)
            say(f"{folder} already holds this sample.")
            return
        drawn = folder / f"{RESERVED}.sample.partial"
        # The solution is written last: if it exists, only moving the files was interrupted.
        is_drawn = (drawn / SOLUTION).exists()
        if is_drawn:
            check_no_files(folder, [path.name for path in drawn.iterdir()])
        else:
            check_no_files(folder, SAMPLE_FILES)
            remove_reserved(drawn)
            try:
                draw_files(drawn, seed, train_count, test_count)
            except BaseException:
                remove_reserved(drawn)
                raise
        move_files(drawn, folder)
        if is_drawn:
            require_same_sample(folder, seed, train_count)
    say(f"Drew {train_count:,} training and {test_count:,} test images into {folder}.")


def require_same_sample(folder: Path, seed: int, train_count: int) -> None:
    """Raise an OtherSampleError unless the labels in `folder` are those of the seed."""
    labels = draw_labels(np.random.default_rng(seed), train_count)
    _, found = read_training_labels(folder / TRAIN_LABELS)
    if not np.array_equal(found, labels):
        raise OtherSampleError(folder, seed)


def draw_labels(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return the training labels int64 (n,), each class equally often: the first random draw."""
    return rng.permutation(np.arange(count) % len(CLASS_NAMES))


def check_no_files(folder: Path, names: Iterable[str]) -> None:
    """Raise a ForeignPathError if `folder` holds one of the files that are to be written."""
    found = [name for name in names if os.path.lexists(folder / name)]
    if found:
        raise ForeignPathError(
            folder / found[0],
            f"{folder} already holds {', '.join(found)}, which may be Kaggle's. Use another folder "
            f"for the sample, or delete {'it' if len(found) == 1 else 'them'}.",
        )


def draw_files(folder: Path, seed: int, train_count: int, test_count: int) -> None:
    """Draw the five files of a sample into `folder`, the solution last."""
    rng = np.random.default_rng(seed)
    train_labels = draw_labels(rng, train_count)
    test_labels = rng.integers(len(CLASS_NAMES), size=test_count)
    scored = np.zeros(test_count, bool)
    scored[rng.permutation(test_count)[: round(test_count * SCORED_SHARE)]] = True
    public = rng.random(test_count) < 0.5

    write_archive(folder / TRAIN_ARCHIVE, draw_images(train_labels, rng))
    test_images = draw_images(test_labels, rng)
    test_images[~scored] = draw_junk(int((~scored).sum()), rng)
    write_archive(folder / TEST_ARCHIVE, test_images)

    train_names = [CLASS_NAMES[label] for label in train_labels]
    write_csv(folder / TRAIN_LABELS, HEADER, enumerate(train_names, start=1))
    write_csv(folder / SAMPLE_SUBMISSION, HEADER, ((i + 1, "cat") for i in range(test_count)))
    solution = (
        (i + 1, CLASS_NAMES[test_labels[i]], "Public" if public[i] else "Private")
        for i in np.flatnonzero(scored)
    )
    write_csv(folder / SOLUTION, f"{HEADER},Usage", solution)


def move_files(drawn: Path, folder: Path) -> None:
    """Move the files in `drawn` to `folder`, the solution last, and remove `drawn`."""
    try:
        for name in SAMPLE_FILES:
            if (drawn / name).exists():
                (drawn / name).replace(folder / name)
        remove_reserved(drawn)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def write_csv(path: Path, header: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table to `path` atomically."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def write_archive(path: Path, images: np.ndarray) -> None:
    """Write images (n, 32, 32, 3) uint8 as `<stem>/<id>.png`, ids from 1, to the archive `path`.

    The order is that of a folder's listing, as in Kaggle's archives.
    """
    import py7zr

    # PNGs are already compressed: a higher preset only takes longer.
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]
    with (
        atomic_write(path) as partial,
        py7zr.SevenZipFile(partial, "w", filters=filters) as archive,
    ):
        archive.write(path.parent, path.stem)
        for image_id in sorted(range(1, len(images) + 1), key=str):
            archive.writestr(encode_png(images[image_id - 1]), f"{path.stem}/{image_id}.png")


def draw_images(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an image of each class index: uint8 (n, 32, 32, 3)."""
    images = np.empty((len(labels), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for start in range(0, len(labels), BATCH):
        batch = labels[start : start + BATCH]
        images[start : start + BATCH] = paint(draw_masks(batch, rng), rng)
    return images


def draw_junk(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return images without a class, two shapes blended: uint8 (n, 32, 32, 3)."""
    first, second = (
        draw_images(rng.integers(len(CLASS_NAMES), size=count), rng).astype(np.float32)
        for _ in range(2)
    )
    weight = rng.uniform(0.3, 0.7, (count, 1, 1, 1)).astype(np.float32)
    return (weight * first + (1 - weight) * second).astype(np.uint8)


def draw_masks(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how much of each pixel the shape covers, 0 to 1: float32 (n, 32, 32)."""
    count = len(labels)
    radius = rng.uniform(*RADII, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    centre_y, centre_x = (rng.uniform(radius, IMAGE_SIZE - 1 - radius) for _ in range(2))
    masks = np.empty((count, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    for i, label in enumerate(labels):
        cosine, sine = radius[i] * np.cos(angle[i]), radius[i] * np.sin(angle[i])
        turn = np.array([[cosine, sine], [-sine, cosine]])
        masks[i] = draw_mask(SHAPES[label], turn, (centre_x[i], centre_y[i]))
    return masks


def draw_mask(shape: Shape, turn: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Return how much of each pixel one shape covers, turned and scaled around `centre`."""
    from PIL import Image, ImageDraw

    image = Image.new("L", (IMAGE_SIZE * FINER, IMAGE_SIZE * FINER))
    draw = ImageDraw.Draw(image)
    for outline, fill in shape:
        points = (outline @ turn + centre + 0.5) * FINER - 0.5
        draw.polygon(points.ravel().tolist(), fill=fill)
    return np.asarray(image.reduce(FINER), np.float32) / np.float32(FILLED)


def paint(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return each mask in one colour on a background that shades into another colour: uint8."""
    count = len(masks)
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] / (IMAGE_SIZE - 1) - 0.5
    slope_y, slope_x = rng.uniform(-30, 30, (2, count, 1, 1, 3))
    background = rng.uniform(20, 120, (count, 1, 1, 3))
    contrast = rng.normal(size=(count, 1, 1, 3))
    contrast *= rng.uniform(*CONTRAST, (count, 1, 1, 1)) / np.linalg.norm(
        contrast, axis=-1, keepdims=True
    )
    # The shape is always brighter. If it could be darker too, the tuned recipe's high learning rate
    # would need more epochs than the demo has.
    figure = background + np.abs(contrast)
    shaded = background + slope_y * rows[..., None] + slope_x * columns[..., None]
    noise = rng.normal(0, NOISE, (*masks.shape, 3))
    cover = masks[..., None]
    pixels = cover * figure + (1 - cover) * shaded + noise
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


# Outlines (n, 2) of x and y in the unit circle


def circle(radius: float = 1, x: float = 0, y: float = 0) -> np.ndarray:
    """Return the outline of a circle."""
    return np.asarray(polygon(64, (radius,)) + np.array([x, y]))


def polygon(corners: int, radii: tuple[float, ...] = (1,)) -> np.ndarray:
    """Return the outline of a polygon whose corners have these distances from (0, 0) in turn."""
    angles = 2 * np.pi * np.arange(corners) / corners
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(np.resize(radii, (corners, 1)) * directions)


def box(half_width: float, half_height: float, y: float = 0) -> np.ndarray:
    """Return the outline of a rectangle around (0, y)."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return np.asarray(corners * (half_width, half_height) + np.array([0, y]))


# The shape of each class, in the order of CLASS_NAMES.
SHAPES: tuple[Shape, ...] = (
    [(polygon(3), FILLED)],  # triangle
    [(polygon(4), FILLED)],  # square
    [(circle(), FILLED), (circle(0.85, x=0.55), EMPTY)],  # crescent
    [(polygon(10, (1, 0.4)), FILLED)],  # star
    [(box(0.95, 0.28), FILLED), (box(0.28, 0.95), FILLED)],  # cross
    [(circle(), FILLED), (circle(0.6), EMPTY)],  # ring
    [(circle(), FILLED)],  # disc
    [(circle(), FILLED), (circle(0.6), EMPTY), (box(1.1, 0.4, y=0.7), EMPTY)],  # horseshoe
    [(circle(0.95, y=-0.3), FILLED), (box(1.1, 0.5, y=-0.8), EMPTY)],  # half disc
    [(box(0.7, 0.21, y=-0.5), FILLED), (box(0.7, 0.21, y=0.5), FILLED)],  # two bars
)
