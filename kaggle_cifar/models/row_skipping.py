"""Skip the row and the column of a convolution that the pooling after it discards.

A 2 x 2 pooling ignores the last row and column of an odd map. Without them, a network gives the
same numbers for fewer operations.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers


def skip_unpooled(model: keras.Model) -> keras.Model:
    """Return a network for inference that shares the layers of `model` and gives the same.

    The convolutions that it changes are 3 x 3 ones of the kind that airbench has.
    """
    convolutions = [layer for layer in model.layers if is_pooled_oddly(layer)]
    if not convolutions:
        return model

    def call(layer: layers.Layer, *arguments: Any, **options: Any) -> Any:
        chosen = PooledConv2D(layer) if layer in convolutions else layer
        return chosen(*arguments, **options)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def is_pooled_oddly(layer: layers.Layer) -> bool:
    """Return whether a layer is such a convolution and only a 2 x 2 pooling takes its odd map."""
    if type(layer) is not layers.Conv2D:
        return False
    is_plain = (
        (layer.kernel_size, layer.strides, layer.dilation_rate) == ((3, 3), (1, 1), (1, 1))
        and (layer.padding, layer.groups, layer.use_bias) == ("same", 1, False)
        and layer.activation is keras.activations.linear
    )
    _, height, width, _ = layer.output.shape
    return is_plain and height % 2 == width % 2 == 1 and consumers_pool(layer)


def consumers_pool(layer: layers.Layer) -> bool:
    """Return whether each layer that takes the output of `layer` is a valid 2 x 2 max pooling."""
    taking = [node.operation for node in layer._outbound_nodes]
    return bool(taking) and all(
        type(other) is layers.MaxPooling2D
        and (other.pool_size, other.strides, other.padding) == ((2, 2), (2, 2), "valid")
        for other in taking
    )


class PooledConv2D(layers.Layer):
    """A 3 x 3 convolution "same" without the last row and column of its output."""

    def __init__(self, convolution: layers.Conv2D) -> None:
        super().__init__(dtype=convolution.dtype_policy)
        self.convolution = convolution

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the convolution's output (batch, height - 1, width - 1, filters)."""
        kernel = tf.cast(self.convolution.kernel, inputs.dtype)
        return tf.nn.conv2d(inputs, kernel, 1, [[0, 0], [1, 0], [1, 0], [0, 0]])
