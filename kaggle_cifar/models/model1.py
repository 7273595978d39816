"""The student project's first network: three convolutions."""

import keras
from keras import layers

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE


def build() -> keras.Model:
    """Return Model 1: uint8 (batch, 32, 32, 3) in, logits (batch, 10) out, 122,570 parameters."""
    inputs = keras.Input(IMAGE_SHAPE, dtype="uint8")
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(32, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(64, activation="relu")(x)
    outputs = layers.Dense(len(CLASS_NAMES), dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name="model1")
