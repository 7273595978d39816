"""The operations of AutoAugment and its successors on batches, equal to Pillow's to the bit.

Each function takes images uint8 (n, height, width, 3) and a magnitude float32 (n,) for each image,
whose meaning is the operation's, and returns images uint8 of the same shape. The definitions are
those of Pillow's ImageOps and ImageEnhance, which the published policies use.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

FIXED_POINT = 1 << 16  # Pillow samples images at multiples of 1 / 65,536 of a pixel
GRAY = (19595, 38470, 7471)  # Pillow's weights of red, green and blue, in 1 / 65,536
LEVELS = 256


def affine_matrices(matrices: np.ndarray) -> np.ndarray:
    """Return affine maps float64 (…, 2, 3) from output to input pixels in fixed point, int32.

    The last column is moved by half a pixel: coordinates are those of the pixels' centers.
    """
    centered = matrices.copy()
    centered[..., 2] += matrices[..., :2].sum(axis=-1) / 2
    return np.floor(centered * FIXED_POINT + 0.5).astype(np.int32)


def transform(images: "tf.Tensor", matrices: "tf.Tensor", fill: np.ndarray) -> "tf.Tensor":
    """Return the images seen through the maps int32 (n, 2, 3) of `affine_matrices`.

    The nearest pixel is taken, and the color `fill`, uint8 (3,), outside the image.
    """
    import tensorflow as tf

    height, width = images.shape[1:3]
    x, y = tf.range(width)[None, None, :], tf.range(height)[None, :, None]
    columns, rows = (
        tf.bitwise.right_shift(
            matrices[:, i, 0, None, None] * x
            + matrices[:, i, 1, None, None] * y
            + matrices[:, i, 2, None, None],
            16,
        )
        for i in range(2)
    )
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    flat = tf.reshape(images, (-1, height * width, 3))
    sampled = tf.gather(flat, tf.where(inside, rows * width + columns, 0), batch_dims=1)
    return tf.where(inside[..., None], sampled, tf.constant(fill))


def invert(images: "tf.Tensor", _: "tf.Tensor") -> "tf.Tensor":
    """Return the negatives of the images."""
    return 255 - images


def solarize(images: "tf.Tensor", threshold: "tf.Tensor") -> "tf.Tensor":
    """Invert the values that are not below a threshold of 0 to 256."""
    import tensorflow as tf

    below = tf.cast(images, tf.float32) < _per_image(threshold)
    return tf.where(below, images, 255 - images)


def posterize(images: "tf.Tensor", bits: "tf.Tensor") -> "tf.Tensor":
    """Keep the highest 1 to 8 bits of each value."""
    import tensorflow as tf

    step = tf.cast(2 ** (8 - _per_image(bits)), tf.int32)
    return tf.cast(tf.cast(images, tf.int32) // step * step, tf.uint8)


def brightness(images: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Blend with black: a factor of 1 changes nothing, 0 is black."""
    import tensorflow as tf

    return _blend(tf.zeros_like(images), images, factor)


def contrast(images: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Blend with the mean gray of each image."""
    import tensorflow as tf

    gray = tf.cast(_gray(images), tf.float64)
    mean = tf.floor(tf.reduce_mean(gray, axis=(1, 2, 3), keepdims=True) + 0.5)
    return _blend(tf.cast(mean, tf.uint8), images, factor)


def color(images: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Blend with the gray image."""
    return _blend(_gray(images), images, factor)


def sharpness(images: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Blend with a smoothed image, whose border is the image's own."""
    import tensorflow as tf

    values = tf.cast(images, tf.int32)
    total = 4 * values[:, 1:-1, 1:-1]  # the middle counts five times, its eight neighbors once
    height, width = images.shape[1:3]
    for row in range(3):
        for column in range(3):
            total += values[:, row : height - 2 + row, column : width - 2 + column]
    smooth = tf.cast((2 * total + 13) // 26, tf.uint8)  # the rounded thirteenth
    middle = tf.concat([images[:, 1:-1, :1], smooth, images[:, 1:-1, -1:]], axis=2)
    smooth = tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)
    return _blend(smooth, images, factor)


def auto_contrast(images: "tf.Tensor", _: "tf.Tensor") -> "tf.Tensor":
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255."""
    import tensorflow as tf

    # In double precision and in this order, so that rounding is that of Pillow's tables.
    values = tf.cast(images, tf.float64)
    low = tf.reduce_min(values, axis=(1, 2), keepdims=True)
    high = tf.reduce_max(values, axis=(1, 2), keepdims=True)
    scale = 255 / tf.maximum(high - low, 1)
    stretched = tf.clip_by_value(values * scale + -low * scale, 0, 255)
    return tf.where(high > low, tf.cast(stretched, tf.uint8), images)


def equalize(images: "tf.Tensor", _: "tf.Tensor") -> "tf.Tensor":
    """Make each channel's histogram as even as a table of its values can."""
    import tensorflow as tf

    height, width = images.shape[1:3]
    channels = tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, height * width))
    channels = tf.cast(channels, tf.int32)
    histogram = tf.math.bincount(channels, minlength=LEVELS, maxlength=LEVELS, axis=-1)
    brightest = tf.reduce_max(channels, axis=1)
    in_brightest = tf.gather(histogram, brightest, batch_dims=1)
    step = (height * width - in_brightest)[:, None] // (LEVELS - 1)
    before = tf.cumsum(histogram, axis=1, exclusive=True)
    table = tf.minimum((before + step // 2) // tf.maximum(step, 1), LEVELS - 1)
    table = tf.where(step > 0, table, tf.range(LEVELS))
    equalized = tf.reshape(tf.gather(table, channels, batch_dims=1), (-1, 3, height, width))
    return tf.cast(tf.transpose(equalized, (0, 2, 3, 1)), tf.uint8)


def _per_image(values: "tf.Tensor") -> "tf.Tensor":
    return values[:, None, None, None]


def _gray(images: "tf.Tensor") -> "tf.Tensor":
    """Return the images' gray values, uint8 (n, height, width, 1)."""
    import tensorflow as tf

    weighted = tf.reduce_sum(tf.cast(images, tf.int32) * tf.constant(GRAY), -1, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(weighted + FIXED_POINT // 2, 16), tf.uint8)


def _blend(other: "tf.Tensor", images: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Return other + factor * (images - other), cut to 0 to 255 and rounded down."""
    import tensorflow as tf

    start = tf.cast(other, tf.float32)
    mixed = start + _per_image(factor) * (tf.cast(images, tf.float32) - start)
    return tf.cast(tf.clip_by_value(mixed, 0, 255), tf.uint8)
