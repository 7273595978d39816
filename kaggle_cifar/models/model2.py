"""The student project's second network: three convolutions, two dense layers, dropout."""

import keras
from keras import layers

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE


def build() -> keras.Model:
    """Return Model 2: uint8 (batch, 32, 32, 3) in, logits (batch, 10) out, 167,818 parameters."""
    inputs = keras.Input(IMAGE_SHAPE, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Dense(64, activation="relu")(x)
    outputs = layers.Dense(len(CLASS_NAMES), dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name="model2")
