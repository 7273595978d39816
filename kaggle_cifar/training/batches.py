"""Shuffled and augmented batches of a training set in memory."""

import os
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.data.dataset import TrainingSet
from kaggle_cifar.recipes import Recipe

if TYPE_CHECKING:
    import tensorflow as tf

PREFETCHED = max(2, os.cpu_count() or 1)  # batches prepared while one is trained on


class BatchSource:
    """Makes the batches of a training set for a recipe and a seed.

    Everything random in an epoch depends on the seed and the epoch's number only, so a training
    resumes in the middle of an epoch without any saved state.
    """

    def __init__(self, data: TrainingSet, recipe: Recipe, seed: int, devices: int = 1) -> None:
        import tensorflow as tf

        self._count, self._seed, self._devices = len(data), seed, devices
        self._batch_size = min(recipe.batch_size, len(data))
        self._drop_last = recipe.drop_last
        self._augmentation = recipe.augmentation
        self._fill = data.pixels.mean(axis=(0, 1, 2)).round().astype(np.uint8)
        with tf.device("CPU"):
            self._pixels = tf.constant(data.pixels)
            self._labels = tf.constant(data.labels)

    @property
    def steps(self) -> int:
        """The number of batches in an epoch."""
        if self._drop_last:
            return self._count // self._batch_size
        return -(-self._count // self._batch_size)

    def images(self, steps: int) -> int:
        """Return the number of images in the first `steps` batches of an epoch."""
        return min(steps * self._batch_size, self._count)

    def batch_images(self, step: int) -> int:
        """Return the number of images in one batch of an epoch."""
        return self.images(step + 1) - self.images(step)

    def batches(self, epoch: int, first_step: int, end: int) -> "tf.data.Dataset":
        """Return the batches `first_step` to `end` (exclusive) of an epoch.

        `epoch` is zero-based. Each batch is (pixels, labels, weights): uint8 (batch, 32, 32, 3),
        int32 (batch,) and float32 (batch,). A weight is 1 / batch, so the weighted losses sum to
        the mean of the batch even if several devices share it. They get the same number of images:
        if a batch does not divide, its first images follow again with weight 0.
        """
        import tensorflow as tf

        rng = np.random.default_rng((self._seed, epoch))
        part = slice(first_step * self._batch_size, end * self._batch_size)
        order = rng.permutation(self._count)
        draws = self._draw(rng, epoch, order)
        # TensorFlow 2.21's autotuning can delay the end of an epoch by as long as it ran: the
        # iterator waits for the tuning thread, which sleeps 10 ms, 20 ms, … up to a minute and
        # misses the call to stop.
        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_tensor_slices((order[part], *(draw[part] for draw in draws)))
            .batch(self._batch_size)
            .map(self._gather, num_parallel_calls=PREFETCHED, deterministic=True)
            .prefetch(PREFETCHED)
            .with_options(options)
        )

    def _draw(
        self, rng: np.random.Generator, epoch: int, order: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Draw each image's translation, mirroring and cutout corner."""
        augmentation = self._augmentation
        if augmentation is None:
            return ()
        limit = augmentation.translate
        translations = rng.integers(-limit, limit, (self._count, 2), endpoint=True)
        corners = rng.integers(0, IMAGE_SIZE - augmentation.cutout, (self._count, 2), endpoint=True)
        mirrored = rng.random(self._count) < (0.5 if augmentation.flip == "random" else 0)
        if augmentation.flip == "alternating":
            first = np.random.default_rng(self._seed).random(self._count) < 0.5
            mirrored = (first ^ (epoch % 2 == 1))[order]
        return translations.astype(np.int32), mirrored, corners.astype(np.int32)

    def _gather(
        self, rows: "tf.Tensor", *draws: "tf.Tensor"
    ) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        import tensorflow as tf

        pixels = tf.gather(self._pixels, rows)
        if self._augmentation:
            translations, mirrored, corners = draws
            pixels = move_and_mirror(pixels, translations, mirrored)
            if self._augmentation.cutout:
                pixels = cut_out(pixels, corners, self._augmentation.cutout, self._fill)
        weights = tf.fill(tf.shape(rows), 1 / tf.cast(tf.size(rows), tf.float32))
        batch = pixels, tf.gather(self._labels, rows), weights
        return batch if self._devices == 1 else pad_batch(*batch, self._devices)


def pad_batch(
    pixels: "tf.Tensor", labels: "tf.Tensor", weights: "tf.Tensor", devices: int
) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
    """Return a batch that divides among devices, padded with its own images of weight 0.

    Without images, a device would compute batch statistics that are not numbers.
    """
    import tensorflow as tf

    count = tf.size(labels)
    positions = tf.range(-(-count // devices) * devices)
    own = positions % count
    counted = tf.where(positions < count, tf.gather(weights, own), 0.0)
    return tf.gather(pixels, own), tf.gather(labels, own), counted


def move_and_mirror(
    pixels: "tf.Tensor", translations: "tf.Tensor", mirrored: "tf.Tensor"
) -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3), mirrored, then translated.

    `translations` int32 (n, 2) move a window over each image, in pixels down and to the right;
    the image is reflected at its edges. `mirrored` is bool (n,).
    """
    import tensorflow as tf

    positions = tf.range(IMAGE_SIZE)
    rows = _reflect(positions + translations[:, :1])
    columns = _reflect(positions + translations[:, 1:])
    columns = tf.where(mirrored[:, None], IMAGE_SIZE - 1 - columns, columns)
    # One gather of whole pixels is faster than slicing each image.
    flat = tf.reshape(pixels, (-1, IMAGE_SIZE * IMAGE_SIZE, pixels.shape[-1]))
    return tf.gather(flat, rows[:, :, None] * IMAGE_SIZE + columns[:, None, :], batch_dims=1)


def _reflect(positions: "tf.Tensor") -> "tf.Tensor":
    """Reflect positions outside the image at its edges."""
    import tensorflow as tf

    last = IMAGE_SIZE - 1
    return last - tf.abs(last - tf.abs(positions))


def cut_out(pixels: "tf.Tensor", corners: "tf.Tensor", size: int, fill: np.ndarray) -> "tf.Tensor":
    """Return images uint8 (n, 32, 32, 3), each with a filled square.

    `corners` int32 (n, 2) are the first row and column of each square, `size` is its side.
    After DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
    Cutout" (arXiv 1708.04552).
    """
    import tensorflow as tf

    inside = (tf.range(IMAGE_SIZE) >= corners[..., None]) & (
        tf.range(IMAGE_SIZE) < corners[..., None] + size
    )
    square = inside[:, 0, :, None] & inside[:, 1, None, :]
    return tf.where(square[..., None], tf.constant(fill), pixels)
