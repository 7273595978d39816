"""Mirroring, translation and cutout of a batch."""

from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import IMAGE_SIZE

if TYPE_CHECKING:
    import tensorflow as tf


def move_and_mirror(
    pixels: "tf.Tensor",
    translations: "tf.Tensor",
    mirrored: "tf.Tensor",
    fill: np.ndarray | None = None,
) -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3), mirrored, then translated.

    `translations` int32 (n, 2) move a window over each image, in pixels down and to the right.
    Beyond its edges, the image is reflected, or has the color `fill`, uint8 (3,). `mirrored` is
    bool (n,).
    """
    import tensorflow as tf

    positions = tf.range(IMAGE_SIZE)
    rows = positions + translations[:, :1]
    columns = positions + translations[:, 1:]
    reflected_rows, reflected_columns = _reflect(rows), _reflect(columns)
    mirrored_columns = tf.where(
        mirrored[:, None], IMAGE_SIZE - 1 - reflected_columns, reflected_columns
    )
    # One gather of whole pixels is faster than slicing each image.
    flat = tf.reshape(pixels, (-1, IMAGE_SIZE * IMAGE_SIZE, pixels.shape[-1]))
    places = reflected_rows[:, :, None] * IMAGE_SIZE + mirrored_columns[:, None, :]
    moved = tf.gather(flat, places, batch_dims=1)
    if fill is None:
        return moved
    inside = (rows == reflected_rows)[:, :, None] & (columns == reflected_columns)[:, None, :]
    return tf.where(inside[..., None], moved, tf.constant(fill))


def _reflect(positions: "tf.Tensor") -> "tf.Tensor":
    """Reflect positions outside the image at its edges."""
    import tensorflow as tf

    last = IMAGE_SIZE - 1
    return last - tf.abs(last - tf.abs(positions))


def cut_out(pixels: "tf.Tensor", corners: "tf.Tensor", size: int, fill: np.ndarray) -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3), each with a filled square.

    `corners` int32 (n, 2) are the first row and column of each square, `size` is its side. The
    square may overhang.
    After DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout" (arXiv 1708.04552).
    """
    import tensorflow as tf

    return tf.where(rectangles(corners, corners + size), tf.constant(fill), pixels)


def rectangles(starts: "tf.Tensor", ends: "tf.Tensor") -> "tf.Tensor":
    """Return which pixels are inside each image's rectangle, bool (n, 32, 32, 1).

    `starts` and `ends` int32 (n, 2) are its rows and columns; the ends are exclusive.
    """
    import tensorflow as tf

    positions = tf.range(IMAGE_SIZE)
    inside = (positions >= starts[..., None]) & (positions < ends[..., None])
    return (inside[:, 0, :, None] & inside[:, 1, None, :])[..., None]
