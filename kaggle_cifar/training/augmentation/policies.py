"""Random operations for each image: AutoAugment, RandAugment and TrivialAugment.

A policy draws, for each image, an operation and its magnitude for each of a few layers. The draws
are arrays of an epoch; `apply_operations` is the part inside the input pipeline.

- AutoAugment: Cubuk et al., arXiv 1805.09501. The 25 pairs of the paper's table for CIFAR-10, found
  on its training images. Magnitudes are those of the authors' code for CIFAR-10.
- RandAugment: Cubuk et al., arXiv 1909.13719. Two of 14 operations in the same ranges.
- TrivialAugment (wide): Müller and Hutter, arXiv 2103.10158. One of 14 operations.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.training.augmentation import operations

if TYPE_CHECKING:
    import tensorflow as tf

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
OTHERS = (
    "auto_contrast",
    "equalize",
    "invert",
    "posterize",
    "solarize",
    "brightness",
    "contrast",
    "color",
    "sharpness",
)
KEEP, MOVE = 0, 1  # the numbers of no operation and of all geometric ones; then come the others
NUMBERS = {
    "identity": KEEP,
    **dict.fromkeys(GEOMETRIC, MOVE),
    **{name: number for number, name in enumerate(OTHERS, MOVE + 1)},
}

# Probability and strength (of 0 to 9) of two operations one after the other.
AUTO_AUGMENT: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)


@dataclass(frozen=True)
class Ranges:
    """The magnitudes at strength 1: of a shear, in pixels, in degrees."""

    shear: float
    translation: float
    rotation: float


RANGES = Ranges(0.3, 10, 30)
WIDE_RANGES = Ranges(0.99, IMAGE_SIZE, 135)


@dataclass(frozen=True)
class Draws:
    """What was drawn for n images in k layers.

    `numbers` int32 (n, k) of `NUMBERS`, `magnitudes` float32 (n, k), `matrices` int32 (n, k, 2, 3).
    """

    numbers: np.ndarray
    magnitudes: np.ndarray
    matrices: np.ndarray


def draw_auto_augment(rng: np.random.Generator, count: int) -> Draws:
    """Draw one of AutoAugment's pairs of operations for each of `count` images."""
    table = [[[part[i] for part in pair] for pair in AUTO_AUGMENT] for i in range(3)]
    chosen = rng.integers(0, len(AUTO_AUGMENT), count)
    names, chances, strengths = (np.array(column)[chosen] for column in table)
    names = np.where(rng.random(names.shape) < chances, names, "identity")
    return _narrow_draws(rng, names, strengths / 10)


def draw_rand_augment(rng: np.random.Generator, count: int, strength: float) -> Draws:
    """Draw two operations of one strength, 0 to 1, for each of `count` images."""
    names = _any_names(rng, (count, 2))
    return _narrow_draws(rng, names, np.full(names.shape, strength))


def draw_trivial_augment(rng: np.random.Generator, count: int) -> Draws:
    """Draw one operation and its strength for each of `count` images."""
    names = _any_names(rng, (count, 1))
    strengths = rng.integers(0, 31, names.shape) / 30
    signed = strengths * rng.choice([-1, 1], names.shape)
    bits = 8 - np.round(6 * strengths)
    return _draws(names, strengths, bits, 1 + 0.99 * signed, _matrices(names, signed, WIDE_RANGES))


def _any_names(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw names of all operations but inversion, which both methods leave out."""
    names = [name for name in NUMBERS if name != "invert"]
    return np.array(names)[rng.integers(0, len(names), shape)]


def _narrow_draws(rng: np.random.Generator, names: np.ndarray, strengths: np.ndarray) -> Draws:
    """Return draws in the ranges of AutoAugment's code for CIFAR-10, which RandAugment shares."""
    bits, factors = 4 - np.trunc(4 * strengths), 0.1 + 1.8 * strengths
    signed = strengths * rng.choice([-1, 1], names.shape)
    return _draws(names, strengths, bits, factors, _matrices(names, signed, RANGES))


def _draws(
    names: np.ndarray,
    strengths: np.ndarray,
    bits: np.ndarray,
    factors: np.ndarray,
    matrices: np.ndarray,
) -> Draws:
    numbers = np.vectorize(NUMBERS.__getitem__, otypes=[np.int32])(names)
    thresholds = operations.LEVELS - np.trunc(operations.LEVELS * strengths)
    kinds = [names == "posterize", names == "solarize"]
    magnitudes = np.select(kinds, [bits, thresholds], factors).astype(np.float32)
    return Draws(numbers, magnitudes, operations.affine_matrices(matrices))


def _matrices(names: np.ndarray, signed: np.ndarray, ranges: Ranges) -> np.ndarray:
    """Return the maps float64 (n, k, 2, 3) from output to input pixels."""
    matrices = np.tile(np.eye(2, 3), (*names.shape, 1, 1))
    for axis, (name, row, column) in enumerate([("x", 0, 1), ("y", 1, 0)]):
        sheared, moved = names == f"shear_{name}", names == f"translate_{name}"
        matrices[sheared, row, column] = signed[sheared] * ranges.shear
        matrices[moved, axis, 2] = np.trunc(signed[moved] * ranges.translation)
    turned = names == "rotate"
    angles = np.radians(signed[turned] * ranges.rotation)
    rotations = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])
    matrices[turned, :, :2] = rotations.transpose(2, 0, 1)
    middle = np.full(2, IMAGE_SIZE / 2)
    matrices[turned, :, 2] = middle - matrices[turned, :, :2] @ middle
    return matrices


def apply_operations(
    images: "tf.Tensor",
    numbers: "tf.Tensor",
    magnitudes: "tf.Tensor",
    matrices: "tf.Tensor",
    fill: np.ndarray,
) -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3), each changed by its drawn operations in turn.

    The arrays are those of `Draws`; `fill` uint8 (3,) is the color outside a moved image.
    """
    import tensorflow as tf

    functions = [getattr(operations, name) for name in OTHERS]
    for layer in range(numbers.shape[1]):
        chosen = numbers[:, layer]
        rows, parts, sizes, maps = (
            tf.dynamic_partition(values, chosen, MOVE + 1 + len(OTHERS))
            for values in (
                tf.range(tf.shape(images)[0]),
                images,
                magnitudes[:, layer],
                matrices[:, layer],
            )
        )
        parts[MOVE] = operations.transform(parts[MOVE], maps[MOVE], fill)
        for number, function in enumerate(functions, MOVE + 1):
            parts[number] = function(parts[number], sizes[number])
        images = tf.ensure_shape(tf.dynamic_stitch(rows, parts), images.shape)
    return images
