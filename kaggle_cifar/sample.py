"""A small offline competition in Kaggle's exact layout: ten drawn shapes under the class names.

Position, size, angle, colours and background are drawn at random and alike for every class, so
that only the shape tells the class: a linear classifier on the pixels gets a quarter right, a
small convolutional network nearly all.
"""

import io
import os
from collections.abc import Callable, Iterable
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
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED, remove_reserved
from kaggle_cifar.progress import say
from kaggle_cifar.storage import atomic_write, explain_os_error, lock, write_text

SOLUTION = "solution.csv"
SAMPLE_FILES = (TRAIN_ARCHIVE, TEST_ARCHIVE, TRAIN_LABELS, SAMPLE_SUBMISSION, SOLUTION)

# Enough for the tuned Model 3 to learn within the demo's few minutes on two cores, and more than
# a thousand ids each, so that the order of a folder's listing is not that of the ids.
TRAIN_COUNT = 4_000
TEST_COUNT = 3_000
SCORED_SHARE = 0.5  # of the test images; the rest is junk, which Kaggle's test set holds too

RADII = (7.0, 12.0)  # pixels
CONTRAST = (100.0, 200.0)  # distance of figure and background in RGB, of at most 441
NOISE = 6.0  # standard deviation, grey levels
BATCH = 500  # images drawn at once, which bounds the memory

Distances = np.ndarray  # from a shape's outline, negative inside, float (n, height, width)


def draw_sample(
    folder: Path, seed: int = 0, train_count: int = TRAIN_COUNT, test_count: int = TEST_COUNT
) -> None:
    """Write a small competition to `folder`: archives, labels, sample submission, solution.

    The same seed and counts draw the same images and tables. A sample that is already there is
    left alone, and so is every other file. `solution.csv` (`id,label,Usage`) holds the scored
    test ids only.

    Raises
    ------
    UserError
        When `folder` holds some of the files but no whole sample, or cannot be written.
    """
    with lock(folder, "drawing of a sample"):
        if all((folder / name).exists() for name in SAMPLE_FILES):
            say(f"{folder} holds a sample already: left as it is. Delete it to draw another.")
            return
        drawn = folder / f"{RESERVED}.sample.partial"
        # The solution is written last: where it is, the drawing was finished, and only moving it
        # into place was interrupted.
        if (drawn / SOLUTION).exists():
            refuse_other_files(folder, [path.name for path in drawn.iterdir()])
        else:
            refuse_other_files(folder, SAMPLE_FILES)
            remove_reserved(drawn)
            try:
                draw_files(drawn, seed, train_count, test_count)
            except BaseException:
                remove_reserved(drawn)
                raise
        move_files(drawn, folder)
    say(f"Drew {train_count:,} training and {test_count:,} test images into {folder}.")


def refuse_other_files(folder: Path, names: Iterable[str]) -> None:
    """Raise a UserError if `folder` holds one of the files that are to be written."""
    found = [name for name in names if os.path.lexists(folder / name)]
    if found:
        raise UserError(
            f"{folder} already holds {', '.join(found)}, which may be Kaggle's own: a sample is "
            "written only where none of its files is. Choose another folder, or delete them."
        )


def draw_files(folder: Path, seed: int, train_count: int, test_count: int) -> None:
    """Draw the five files of a sample into `folder`, the solution last."""
    rng = np.random.default_rng(seed)
    train_labels = rng.permutation(np.arange(train_count) % len(CLASS_NAMES))
    test_labels = rng.integers(len(CLASS_NAMES), size=test_count)
    scored = np.zeros(test_count, bool)
    scored[rng.permutation(test_count)[: round(test_count * SCORED_SHARE)]] = True
    public = rng.random(test_count) < 0.5

    write_archive(folder / TRAIN_ARCHIVE, draw_images(train_labels, rng))
    test_images = draw_images(test_labels, rng)
    test_images[~scored] = draw_junk(int((~scored).sum()), rng)
    write_archive(folder / TEST_ARCHIVE, test_images)

    train_names = [CLASS_NAMES[label] for label in train_labels]
    write_csv(folder / TRAIN_LABELS, "id,label", enumerate(train_names, start=1))
    write_csv(folder / SAMPLE_SUBMISSION, "id,label", ((i + 1, "cat") for i in range(test_count)))
    solution = (
        (i + 1, CLASS_NAMES[test_labels[i]], "Public" if public[i] else "Private")
        for i in np.flatnonzero(scored)
    )
    write_csv(folder / SOLUTION, "id,label,Usage", solution)


def move_files(drawn: Path, folder: Path) -> None:
    """Move what lies in `drawn` to `folder`, the solution last, and remove `drawn`."""
    try:
        for name in SAMPLE_FILES:
            if (drawn / name).exists():
                (drawn / name).replace(folder / name)
        remove_reserved(drawn)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def write_csv(path: Path, header: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table to `path`, atomically."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def write_archive(path: Path, images: np.ndarray) -> None:
    """Write images (n, 32, 32, 3) uint8 as `<stem>/<id>.png`, ids from 1, to the archive `path`.

    The order is that of a folder's listing, as in Kaggle's archives.
    """
    import py7zr

    # PNGs are compressed already: a higher preset would only take longer.
    filters = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]
    with (
        atomic_write(path) as partial,
        py7zr.SevenZipFile(partial, "w", filters=filters) as archive,
    ):
        archive.write(path.parent, path.stem)
        for image_id in sorted(range(1, len(images) + 1), key=str):
            archive.writestr(encode_png(images[image_id - 1]), f"{path.stem}/{image_id}.png")


def encode_png(image: np.ndarray) -> bytes:
    """Return an image (height, width, 3) uint8 as the bytes of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def draw_images(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one image for each class index: uint8 (n, 32, 32, 3)."""
    images = np.empty((len(labels), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for start in range(0, len(labels), BATCH):
        batch = labels[start : start + BATCH]
        images[start : start + BATCH] = paint(draw_masks(batch, rng), rng)
    return images


def draw_junk(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return images that belong to no class, two shapes over each other: as `draw_images`."""
    first, second = (
        draw_images(rng.integers(len(CLASS_NAMES), size=count), rng).astype(np.float32)
        for _ in range(2)
    )
    weight = rng.uniform(0.3, 0.7, (count, 1, 1, 1)).astype(np.float32)
    return (weight * first + (1 - weight) * second).astype(np.uint8)


def draw_masks(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how much of each pixel the figure covers, 0 to 1: float32 (n, 32, 32)."""
    radius = rng.uniform(*RADII, (len(labels), 1, 1))
    angle = rng.uniform(0, 2 * np.pi, (len(labels), 1, 1))
    centre_y, centre_x = (
        rng.uniform(radius, IMAGE_SIZE - 1 - radius, radius.shape) for _ in range(2)
    )
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE]
    dy, dx = (rows - centre_y) / radius, (columns - centre_x) / radius
    x = np.cos(angle) * dx + np.sin(angle) * dy
    y = np.cos(angle) * dy - np.sin(angle) * dx

    masks = np.empty(x.shape, np.float32)
    for index, distances in enumerate(SHAPES.values()):
        chosen = labels == index
        # A pixel at the outline is half covered: that is the anti-aliasing.
        masks[chosen] = np.clip(0.5 - distances(x[chosen], y[chosen]) * radius[chosen], 0, 1)
    return masks


def paint(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the figures in one colour each on a background that shades into another: uint8."""
    count = len(masks)
    rows, columns = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE] / (IMAGE_SIZE - 1) - 0.5
    slope_y, slope_x = rng.uniform(-30, 30, (2, count, 1, 1, 3))
    background = rng.uniform(20, 120, (count, 1, 1, 3))
    contrast = rng.normal(size=(count, 1, 1, 3))
    contrast *= rng.uniform(*CONTRAST, (count, 1, 1, 1)) / np.linalg.norm(
        contrast, axis=-1, keepdims=True
    )
    # Always the brighter one: where it can be either, the tuned recipe's high rate takes more
    # epochs to start learning than the demo has.
    figure = background + np.abs(contrast)
    shaded = background + slope_y * rows[..., None] + slope_x * columns[..., None]
    noise = rng.normal(0, NOISE, (*masks.shape, 3))
    cover = masks[..., None]
    return np.clip(cover * figure + (1 - cover) * shaded + noise, 0, 255).astype(np.uint8)


def disc(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a disc that fills the unit circle."""
    return np.hypot(x, y) - 1


def ring(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a ring, a third of the radius wide."""
    return np.abs(np.hypot(x, y) - 0.8) - 0.2


def half_ring(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a horseshoe: the ring without its lower part."""
    return np.maximum(ring(x, y), y - 0.3)


def half_disc(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from the upper half of a disc."""
    return np.maximum(np.hypot(x, y + 0.3) - 0.95, -y - 0.3)


def crescent(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a disc with another cut out of its side."""
    return np.maximum(disc(x, y), 0.85 - np.hypot(x - 0.55, y))


def polygon(x: np.ndarray, y: np.ndarray, corners: int) -> Distances:
    """Measure from a regular polygon inscribed in the unit circle."""
    sector = 2 * np.pi / corners
    bearing = np.arctan2(y, x) % sector - sector / 2
    return np.hypot(x, y) * np.cos(bearing) - np.cos(sector / 2)


def triangle(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from an equilateral triangle."""
    return polygon(x, y, 3)


def square(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a square."""
    return polygon(x, y, 4)


def star(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a star with five points."""
    sector = 2 * np.pi / 5
    bearing = np.abs(np.arctan2(y, x) % sector - sector / 2)
    # In the half sector between a point at (1, 0) and a notch, the outline is one straight line.
    along = np.hypot(x, y) * np.cos(sector / 2 - bearing)
    across = np.hypot(x, y) * np.sin(sector / 2 - bearing)
    notch = 0.4 * np.array([np.cos(sector / 2), np.sin(sector / 2)])
    normal = np.array([notch[1], 1 - notch[0]]) / np.hypot(notch[1], 1 - notch[0])
    return (along - 1) * normal[0] + across * normal[1]


def box(x: np.ndarray, y: np.ndarray, half_width: float, half_height: float) -> Distances:
    """Measure from a rectangle around the origin."""
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def cross(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from a cross of two equal bars."""
    return np.minimum(box(x, y, 0.95, 0.28), box(x, y, 0.28, 0.95))


def two_bars(x: np.ndarray, y: np.ndarray) -> Distances:
    """Measure from two parallel bars."""
    return box(x, np.abs(y) - 0.5, 0.7, 0.21)


SHAPES: dict[str, Callable[[np.ndarray, np.ndarray], Distances]] = dict(
    zip(
        CLASS_NAMES,
        (triangle, square, crescent, star, cross, ring, disc, half_ring, half_disc, two_bars),
        strict=True,
    )
)
