"""All random changes of a recipe: first their draws, then the changes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.recipes import Augmentation
from kaggle_cifar.training.augmentation import geometry, mixing, policies

if TYPE_CHECKING:
    import tensorflow as tf


class Augmenter:
    """Draws the changes of an epoch's images and applies them to batches.

    `fill` uint8 (3,) is the color of what is erased or comes from outside an image.
    """

    def __init__(self, augmentation: Augmentation, seed: int, fill: np.ndarray) -> None:
        self._augmentation, self._seed, self._fill = augmentation, seed, fill

    def draw(
        self, rng: np.random.Generator, epoch: int, order: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return what is drawn for the images of an epoch: named arrays (images, …) in its order.

        `order` has the images' rows in the training set.
        """
        augmentation, count = self._augmentation, len(order)
        # New draws come last: earlier ones would change the weights of recipes without them.
        return {
            **self._draw_geometry(rng, epoch, order),
            **draw_policy(rng, augmentation, count),
            **(mixing.draw_mix(rng, augmentation.mix, count) if augmentation.mix else {}),
        }

    def _draw_geometry(
        self, rng: np.random.Generator, epoch: int, order: np.ndarray
    ) -> dict[str, np.ndarray]:
        augmentation, count = self._augmentation, len(order)
        limit, size = augmentation.translate, augmentation.cutout
        translations = rng.integers(-limit, limit, (count, 2), endpoint=True)
        if augmentation.cutout_overhang:
            corners = rng.integers(0, IMAGE_SIZE, (count, 2)) - size // 2
        else:
            corners = rng.integers(0, IMAGE_SIZE - size, (count, 2), endpoint=True)
        mirrored = rng.random(count) < (0.5 if augmentation.flip == "random" else 0)
        if augmentation.flip == "alternating":
            first = np.random.default_rng(self._seed).random(count) < 0.5
            mirrored = (first ^ (epoch % 2 == 1))[order]
        return {
            "translations": translations.astype(np.int32),
            "mirrored": mirrored,
            "corners": corners.astype(np.int32),
        }

    def apply(
        self, pixels: "tf.Tensor", labels: "tf.Tensor", draws: "Mapping[str, tf.Tensor]"
    ) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Return a batch, uint8 (n, 32, 32, 3) and int32 (n,), after the changes drawn for it.

        Labels of mixed images are shares of the classes, float32 (n, 10).
        """
        augmentation, fill = self._augmentation, self._fill
        if augmentation.policy:
            operations = draws["numbers"], draws["magnitudes"], draws["matrices"]
            pixels = policies.apply_operations(pixels, *operations, fill)
        pixels = geometry.move_and_mirror(
            pixels,
            draws["translations"],
            draws["mirrored"],
            None if augmentation.edges == "reflect" else fill,
        )
        if augmentation.cutout:
            pixels = geometry.cut_out(pixels, draws["corners"], augmentation.cutout, fill)
        if not augmentation.mix:
            return pixels, labels
        if augmentation.mix.method == "mixup":
            pixels = mixing.mix_up(pixels, draws["shares"])
        else:
            pixels = mixing.cut_mix(pixels, draws["starts"], draws["ends"])
        return pixels, mixing.mix_labels(labels, draws["shares"])


def draw_policy(
    rng: np.random.Generator, augmentation: Augmentation, count: int
) -> dict[str, np.ndarray]:
    """Return the draws of the recipe's policy for `count` images, named as in `policies.Draws`."""
    if augmentation.policy == "auto":
        draws = policies.draw_auto_augment(rng, count)
    elif augmentation.policy == "trivial":
        draws = policies.draw_trivial_augment(rng, count)
    elif augmentation.policy_strength is not None:
        draws = policies.draw_rand_augment(rng, count, augmentation.policy_strength)
    else:
        return {}
    return vars(draws)
