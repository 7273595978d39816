"""The student project's third network: six convolutions with batch normalization."""

from collections.abc import Sequence

import keras
from keras import layers

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.models.layers import BatchNormalization

WIDTHS, DROPOUTS = (32, 64, 128), (0.2, 0.3, 0.4)  # of the three blocks
L2 = 1e-4


def build(widths: Sequence[int] = WIDTHS, dropouts: Sequence[float] = DROPOUTS) -> keras.Model:
    """Return Model 3: uint8 (batch, 32, 32, 3) in, softmax (batch, 10) out, 309,290 parameters.

    Each of `widths` makes a block: twice a 3 x 3 convolution with L2, ELU and batch
    normalization, then 2 x 2 max pooling and dropout. One dense layer follows the blocks.

    Raises
    ------
    ValueError
        When `widths` and `dropouts` differ in length.
    """
    inputs = keras.Input(IMAGE_SHAPE, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for filters, dropout in zip(widths, dropouts, strict=True):
        for _ in range(2):
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="elu",
                kernel_regularizer=keras.regularizers.L2(L2),
            )(x)
            x = BatchNormalization()(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)
    outputs = layers.Dense(
        len(CLASS_NAMES), activation="softmax", dtype="float32", name="probabilities"
    )(x)
    return keras.Model(inputs, outputs, name="model3")
