"""Resize images in a compiled step."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf


def resize(pixels: "tf.Tensor", size: int) -> "tf.Tensor":
    """Return square images uint8 (n, side, side, c) as uint8 (n, size, size, c).

    The interpolation is bilinear with antialiasing, as in Pillow and in fast.ai's progressive
    resizing. Two matrix products run on every device and under XLA, unlike `tf.image.resize`.
    """
    import tensorflow as tf

    side = pixels.shape[1]
    if side == size:
        return pixels
    weights = tf.constant(interpolation_weights(side, size))
    resized = tf.cast(pixels, tf.float32)
    for _ in ("rows", "columns"):  # each product moves its axis to the end
        resized = tf.tensordot(resized, weights, ((1,), (1,)))
    return tf.cast(tf.round(tf.transpose(resized, (0, 2, 3, 1))), tf.uint8)


def interpolation_weights(side: int, size: int) -> np.ndarray:
    """Return the share of each of `side` pixels in each of `size` pixels, float32 (size, side).

    A pixel is the weighted mean of the pixels around its center. The weights fall linearly to zero
    at a distance of one pixel of the coarser grid.
    """
    scale = side / size
    centers = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(side) + 0.5 - centers[:, None]) / max(scale, 1)
    weights: np.ndarray = np.maximum(0, 1 - distances)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
