"""Shuffled and augmented batches of a training set in memory."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.data.dataset import TrainingSet
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.augmentation.augmenter import Augmenter

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
        self._augmenter = None
        if recipe.augmentation:
            fill = data.pixels.mean(axis=(0, 1, 2)).round().astype(np.uint8)
            self._augmenter = Augmenter(recipe.augmentation, seed, fill)
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
        int32 (batch,) and float32 (batch,). Labels of mixed images are float32 (batch, 10). A
        weight is 1 / batch, so the weighted losses sum to the mean of the batch even if several
        devices share it. They get the same number of images: if a batch does not divide, its first
        images follow again with weight 0.
        """
        import tensorflow as tf

        rng = np.random.default_rng((self._seed, epoch))
        part = slice(first_step * self._batch_size, end * self._batch_size)
        order = rng.permutation(self._count)
        draws = self._augmenter.draw(rng, epoch, order) if self._augmenter else {}
        # TensorFlow 2.21's autotuning can delay the end of an epoch by as long as it ran: the
        # iterator waits for the tuning thread, which sleeps 10 ms, 20 ms, … up to a minute and
        # misses the call to stop.
        options = tf.data.Options()
        options.autotune.enabled = False
        return (
            tf.data.Dataset.from_tensor_slices(
                (order[part], {name: draw[part] for name, draw in draws.items()})
            )
            .batch(self._batch_size)
            .map(self._gather, num_parallel_calls=PREFETCHED, deterministic=True)
            .prefetch(PREFETCHED)
            .with_options(options)
        )

    def _gather(
        self, rows: "tf.Tensor", draws: "Mapping[str, tf.Tensor]"
    ) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
        import tensorflow as tf

        pixels, labels = tf.gather(self._pixels, rows), tf.gather(self._labels, rows)
        if self._augmenter:
            pixels, labels = self._augmenter.apply(pixels, labels, draws)
        weights = tf.fill(tf.shape(rows), 1 / tf.cast(tf.size(rows), tf.float32))
        batch = pixels, labels, weights
        return batch if self._devices == 1 else pad_batch(*batch, self._devices)


def pad_batch(
    pixels: "tf.Tensor", labels: "tf.Tensor", weights: "tf.Tensor", devices: int
) -> tuple["tf.Tensor", "tf.Tensor", "tf.Tensor"]:
    """Return a batch that divides among devices, padded with its own images of weight 0.

    Without images, a device would compute batch statistics that are not numbers.
    """
    import tensorflow as tf

    count = tf.size(weights)
    positions = tf.range(-(-count // devices) * devices)
    own = positions % count
    counted = tf.where(positions < count, tf.gather(weights, own), 0.0)
    return tf.gather(pixels, own), tf.gather(labels, own), counted
