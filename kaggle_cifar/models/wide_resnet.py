"""Wide residual networks, which are wider and shallower than ResNets.

After Zagoruyko and Komodakis, "Wide Residual Networks" (arXiv 1605.07146).
"""

import keras
from keras import layers

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.models.layers import EPSILON, BatchNormalization, pixel_normalization

FIRST_FILTERS = 16
MOMENTUM = 0.9  # of batch normalization


def build(depth: int = 16, width: int = 8, dropout: float = 0.0) -> keras.Model:
    """Return WRN-`depth`-`width`: uint8 (batch, 32, 32, 3) in, logits (batch, 10) out.

    A 3 x 3 convolution comes first, then three groups of (depth - 4) / 6 blocks with 16, 32 and
    64 times `width` filters. The second and third group halve the height and width. A block is
    twice batch normalization, ReLU and a 3 x 3 convolution, added to its input. If the number of
    filters changes, the shortcut is a 1 x 1 convolution of the first activation. `dropout` is
    between the two convolutions. Kernels have He initialization. WRN-16-8 has 10,961,370
    parameters.

    Raises
    ------
    ValueError
        When `depth` is not 6 n + 4.
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth must be 10, 16, 22, 28 …, not {depth}")
    inputs = keras.Input(IMAGE_SHAPE, dtype="uint8")
    x = convolution(FIRST_FILTERS)(pixel_normalization()(inputs))
    for group in range(3):
        filters = FIRST_FILTERS * 2**group * width
        for block in range(blocks):
            x = residual_block(x, filters, 2 if group and not block else 1, dropout)
    x = activation(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(
        len(CLASS_NAMES), kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
    return keras.Model(inputs, outputs, name="wide_resnet")


def residual_block(
    inputs: keras.KerasTensor, filters: int, strides: int, dropout: float
) -> keras.KerasTensor:
    """Return a block's sum of its shortcut and its two convolutions."""
    x = activation(inputs)
    shortcut = inputs
    if inputs.shape[-1] != filters:
        shortcut = convolution(filters, 1, strides)(x)
    x = activation(convolution(filters, 3, strides)(x))
    if dropout:
        x = layers.Dropout(dropout)(x)
    return layers.Add()([shortcut, convolution(filters)(x)])


def convolution(filters: int, size: int = 3, strides: int = 1) -> layers.Conv2D:
    """Return a convolution without bias."""
    return layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, kernel_initializer="he_normal"
    )


def activation(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return the inputs after batch normalization and ReLU."""
    return layers.ReLU()(BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON)(inputs))
