"""The training step: forward pass, loss, gradients and update, compiled."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kaggle_cifar.devices.gpus import visible_gpus
from kaggle_cifar.devices.probe import xla_fault
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import Phase, Recipe
from kaggle_cifar.training.losses import image_losses, regularization_loss
from kaggle_cifar.training.resizing import resize
from kaggle_cifar.training.sharpness import sharp_gradients

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# (batch, totals) -> totals. A batch is what `BatchSource.batches` yields; totals are float32 (3,):
# the loss, the correct predictions and the images trained on in the epoch so far, each as a sum.
TrainStep = Callable[[tuple[Any, ...], Any], Any]


class WhiteningLayerError(UserError):
    """The `network` has no whitening layer whose bias could be frozen."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(
            f"The network {recipe.network} has no layer named whitening. Set "
            f"whitening_bias_epochs to null in the recipe {recipe.name}."
        )
        self.network = recipe.network


def compile_train_step(
    model: "keras.Model",
    optimizer: "keras.optimizers.Optimizer",
    recipe: Recipe,
    strategy: "tf.distribute.Strategy",
    variables: Sequence[Any],
    phase: Phase,
) -> TrainStep:
    """Return the compiled function that updates `variables` by one batch.

    The images are resized to the size of the phase first.

    Each replica gets a part of the batch. The weights in a whole batch sum to 1 over all replicas,
    so that the sum of the replicas' losses is the mean loss of the batch. Images of weight 0 are
    not counted.
    """
    import tensorflow as tf

    def replica_step(pixels: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        pixels = resize(pixels, phase.image_size)

        def loss_of(outputs: tf.Tensor, penalty: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            losses = image_losses(model, labels, outputs, recipe.label_smoothing)
            loss = tf.reduce_sum(losses * weights) + penalty / strategy.num_replicas_in_sync
            return optimizer.scale_loss(loss), losses

        with tf.GradientTape() as tape:
            outputs = model(pixels, training=True)
            penalty = regularization_loss(model)
            scaled_loss, losses = loss_of(outputs, penalty)
        gradients = tape.gradient(scaled_loss, variables)
        if phase.sharpness:
            gradients = sharp_gradients(
                model,
                pixels,
                variables,
                gradients,
                optimizer.scale_loss(tf.constant(1.0)),
                phase.sharpness,
                loss_of,
            )
        optimizer.apply(gradients, variables)
        classes = main_classes(labels)
        predictions = tf.argmax(outputs, axis=-1, output_type=classes.dtype)
        counted = tf.cast(weights > 0, tf.float32)
        correct = tf.reduce_sum(tf.cast(predictions == classes, tf.float32) * counted)
        count = tf.reduce_sum(counted)
        return tf.stack([tf.reduce_sum(losses * counted) + penalty * count, correct, count])

    @tf.function(autograph=False, jit_compile=not why_not_xla(recipe, strategy))
    def train_step(batch: tuple[Any, ...], totals: tf.Tensor) -> tf.Tensor:
        sums = strategy.run(replica_step, args=batch)
        return totals + strategy.reduce("SUM", sums, axis=None)

    compiled: TrainStep = train_step
    return compiled


def main_classes(labels: "tf.Tensor") -> "tf.Tensor":
    """Return the classes int32 (batch,) of images, or those of the largest share if mixed."""
    import tensorflow as tf

    if labels.shape.rank == 1:
        return labels
    return tf.argmax(labels, axis=-1, output_type=tf.int32)


def why_not_xla(recipe: Recipe, strategy: "tf.distribute.Strategy") -> str:
    """Return why XLA does not compile the step, or "" if it does."""
    if not recipe.xla:
        return "not in the recipe"
    if not visible_gpus():
        return "slower on a CPU"
    if strategy.num_replicas_in_sync > 1:
        return "it cannot compile the exchange between GPUs"
    if fault := xla_fault():
        return f"it fails here: {fault}"
    return ""


def variables_to_train(model: "keras.Model", recipe: Recipe, epoch: int) -> list[Any]:
    """Return the variables that a zero-based epoch trains.

    The bias of the whitening layer is trained for the first `whitening_bias_epochs` only.

    Raises
    ------
    WhiteningLayerError
        If the recipe freezes that bias and the network has no such layer.
    """
    variables: list[Any] = model.trainable_variables
    if recipe.whitening_bias_epochs is None:
        return variables
    layers = [layer for layer in model.layers if layer.name == "whitening"]
    if not layers:
        raise WhiteningLayerError(recipe)
    if epoch < recipe.whitening_bias_epochs:
        return variables
    bias = getattr(layers[0], "bias", None)
    return [variable for variable in variables if variable is not bias]
