"""Advice for a training that needs more memory than there is."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kaggle_cifar.devices.gpus import visible_gpus
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import Recipe

if TYPE_CHECKING:
    import keras

NUMBER_BYTES = 4  # float32


class NotEnoughMemoryError(UserError):
    """A batch does not fit into the memory; `batch_size` is the recipe's."""

    def __init__(self, recipe: Recipe, fault: str) -> None:
        super().__init__(
            f"{fault} Close other programs, use a smaller recipe, or use a smaller batch with "
            "--set batch_size=…, which makes it another recipe."
        )
        self.batch_size = recipe.batch_size


def check_memory(model: "keras.Model", recipe: Recipe, images: int) -> None:
    """Raise a NotEnoughMemoryError if a batch of the recipe cannot fit.

    `images` is the number of training images. The free memory of a GPU is unknown before it is used
    up: see `explain_out_of_memory`.
    """
    import psutil

    if visible_gpus():
        return
    outputs = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    # Each output is kept until its gradient, which is as large, is computed.
    needed = 2 * NUMBER_BYTES * outputs * min(recipe.batch_size, images)
    free = psutil.virtual_memory().available
    if needed > free:
        raise NotEnoughMemoryError(
            recipe,
            f"{recipe.name} needs about {needed / 2**30:.1f} GiB for a batch of "
            f"{recipe.batch_size:,} images, but only {free / 2**30:.1f} GiB are free.",
        )


@contextmanager
def explain_out_of_memory(recipe: Recipe) -> Iterator[None]:
    """Replace the errors of Python and TensorFlow by a NotEnoughMemoryError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        import tensorflow as tf

        if not isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
            raise
        raise NotEnoughMemoryError(
            recipe,
            f"{recipe.name} with a batch of {recipe.batch_size:,} images does not fit into the "
            "memory of this machine.",
        ) from error
