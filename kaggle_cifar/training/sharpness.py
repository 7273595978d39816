"""Sharpness-aware minimization: gradients where the loss is highest near the weights.

- SAM: Foret et al., arXiv 2010.01412. Each replica finds the place for its own part of the batch.
- ASAM: Kwon et al., arXiv 2102.11600, without its offset eta, for all weights, as in davda54/sam.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kaggle_cifar.recipes import Sharpness
from kaggle_cifar.training.losses import add_up

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

TINY = 1e-12  # added to a norm, which may be zero


def sharp_gradients(
    model: "keras.Model",
    pixels: "tf.Tensor",
    variables: Sequence[Any],
    gradients: "Sequence[tf.Tensor | None]",
    scale: "tf.Tensor",
    sharpness: Sharpness,
    loss_of: "Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]",
) -> "list[tf.Tensor | None]":
    """Return the gradients of a loss at the perturbed values of `variables`.

    `gradients` are those at the present values, of the loss times `scale`. `loss_of` takes the
    network's outputs and its regularization loss and computes that scaled loss, and each image's.
    No variable changes: not the weights, nor the statistics of batch normalization. If `gradients`
    are not finite, they are the result, so that a scaled loss skips the step.
    """
    import tensorflow as tf

    values = [tf.convert_to_tensor(variable) for variable in variables]
    unscaled = [None if gradient is None else gradient / scale for gradient in gradients]
    perturbed = perturb(values, unscaled, sharpness)
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in perturbed])
    with tf.GradientTape() as tape:
        tape.watch(perturbed)
        loss, _ = loss_of(*call_with(model, variables, perturbed, pixels))
    return [
        None if gradient is None else tf.where(finite, gradient, first)
        for gradient, first in zip(tape.gradient(loss, perturbed), gradients, strict=True)
    ]


def perturb(
    values: "Sequence[tf.Tensor]", gradients: "Sequence[tf.Tensor | None]", sharpness: Sharpness
) -> "list[tf.Tensor]":
    """Return the weights at the distance rho in the direction of the steepest ascent.

    With the weights w and their gradients g, they are w + rho * g / |g|. An adaptive distance is
    measured in shares of each weight: w + rho * w^2 * g / |w * g|.
    """
    import tensorflow as tf

    scales = [tf.abs(value) if sharpness.adaptive else tf.ones_like(value) for value in values]
    directions = [
        tf.zeros_like(scale) if gradient is None else scale * gradient
        for scale, gradient in zip(scales, gradients, strict=True)
    ]
    factor = sharpness.rho / (tf.linalg.global_norm(directions) + TINY)
    return [
        value + factor * scale * direction
        for value, scale, direction in zip(values, scales, directions, strict=True)
    ]


def call_with(
    model: "keras.Model",
    variables: Sequence[Any],
    values: "Sequence[tf.Tensor]",
    pixels: "tf.Tensor",
) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Return the outputs and the regularization loss in training with other values of variables."""
    replaced = {id(variable): value for variable, value in zip(variables, values, strict=True)}
    outputs, _, losses = model.stateless_call(
        [replaced.get(id(variable), variable.value) for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
        pixels,
        training=True,
        return_losses=True,
    )
    return outputs, add_up(losses)
