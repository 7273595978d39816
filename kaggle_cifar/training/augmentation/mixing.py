"""MixUp and CutMix: each image of a batch with another one, and their labels likewise.

The other one is the image at the same place counted from the end of the batch. Batches are in
random order, so that is a random pairing. Each image has its own share; the authors draw one for
a batch.

- MixUp: Zhang et al., arXiv 1710.09412.
- CutMix: Yun et al., arXiv 1905.04899.
"""

from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SIZE
from kaggle_cifar.recipes import Mix
from kaggle_cifar.training.augmentation.geometry import rectangles

if TYPE_CHECKING:
    import tensorflow as tf


def draw_mix(rng: np.random.Generator, mix: Mix, count: int) -> dict[str, np.ndarray]:
    """Draw the share of itself that each of `count` images keeps, float32 (count,) "shares".

    For CutMix, also the rectangle of the other image, int32 (count, 2) "starts" and "ends". Its
    center is anywhere in the image. The part outside is cut off and the share is that of the
    pixels.
    """
    shares = rng.beta(mix.alpha, mix.alpha, count)
    if mix.method == "mixup":
        return {"shares": shares.astype(np.float32)}
    sides = (IMAGE_SIZE * np.sqrt(1 - shares)).astype(np.int32)[:, None]
    centers = rng.integers(0, IMAGE_SIZE, (count, 2), dtype=np.int32)
    starts = np.maximum(centers - sides // 2, 0)
    ends = np.minimum(centers + sides // 2, IMAGE_SIZE)
    shares = 1 - (ends - starts).prod(axis=1) / IMAGE_SIZE**2
    return {"shares": shares.astype(np.float32), "starts": starts, "ends": ends}


def mix_up(pixels: "tf.Tensor", shares: "tf.Tensor") -> "tf.Tensor":
    """Return each image uint8 (n, 32, 32, 3) added to another one, rounded; see `draw_mix`."""
    import tensorflow as tf

    own = tf.cast(pixels, tf.float32)
    weights = shares[:, None, None, None]
    return tf.cast(tf.round(weights * own + (1 - weights) * own[::-1]), tf.uint8)


def cut_mix(pixels: "tf.Tensor", starts: "tf.Tensor", ends: "tf.Tensor") -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3) with a rectangle of another one; see `draw_mix`."""
    import tensorflow as tf

    return tf.where(rectangles(starts, ends), pixels[::-1], pixels)


def mix_labels(labels: "tf.Tensor", shares: "tf.Tensor") -> "tf.Tensor":
    """Return the shares of the classes in mixed images, float32 (n, 10), for labels int32 (n,)."""
    import tensorflow as tf

    own = tf.one_hot(labels, len(CLASS_NAMES))
    return shares[:, None] * own + (1 - shares[:, None]) * own[::-1]
