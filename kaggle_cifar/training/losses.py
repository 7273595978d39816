"""The loss: cross-entropy of images, regularization of the network."""

from typing import TYPE_CHECKING, Any

from kaggle_cifar import models

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def image_losses(
    model: "keras.Model", labels: "tf.Tensor", outputs: "tf.Tensor", smoothing: float = 0.0
) -> "tf.Tensor":
    """Return each image's cross-entropy with smoothed labels, (batch,).

    Labels are classes, int (batch,), or the shares of all classes, float32 (batch, 10).
    """
    import keras
    import tensorflow as tf

    from_logits = models.gives_logits(model)
    if len(labels.shape) == 2:
        targets = labels
    elif smoothing:
        targets = tf.one_hot(labels, outputs.shape[-1])
    else:
        return keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits)
    return keras.losses.categorical_crossentropy(targets, outputs, from_logits, smoothing)


def regularization_loss(model: "keras.Model") -> Any:
    """Return the sum of the layers' regularization losses, float32 ()."""
    return add_up(model.losses)


def add_up(losses: "list[tf.Tensor]") -> "tf.Tensor":
    """Return the sum of losses, float32 (), which may be none."""
    import tensorflow as tf

    return tf.add_n(losses) if losses else tf.constant(0.0)
