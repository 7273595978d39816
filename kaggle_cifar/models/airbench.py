"""The fastest known networks for CIFAR-10, at three sizes.

After Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv 2404.00498).
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.models.layers import (
    DEVIATION,
    EPSILON,
    GELU,
    MEAN,
    BatchNormalization,
    pixel_normalization,
)

PATCH = 2  # pixels, the side of a whitened patch
WHITENING_IMAGES = 5000
WHITENING_EPSILON = 5e-4
LOGIT_SCALE = 1 / 9


def build(
    widths: Sequence[int] = (64, 256, 256),
    convs_per_block: int = 2,
    bn_momentum: float = 0.6,
    whitening: bool = True,
    dirac_init: bool = True,
) -> keras.Model:
    """Return the network: uint8 (batch, 32, 32, 3) in, logits (batch, 10) out.

    The first layer is a 2 x 2 convolution with frozen whitening filters and a trained bias. Each
    of `widths` makes a block: 3 x 3 convolution, 2 x 2 max pooling, batch normalization without
    scale, GELU, then convolution, normalization and GELU again. With three `convs_per_block`, the
    third adds the block's first activation before its GELU. The last layers are global max
    pooling and a linear layer. `adapt` sets the whitening filters. Without `whitening`, they
    start at random and are trained. Without `dirac_init`, all kernels start at random. The
    defaults make 1,973,944 parameters.
    """
    start = DiracInitializer() if dirac_init else uniform_initializer()

    def convolution(filters: int) -> layers.Conv2D:
        return layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=start)

    def normalization() -> BatchNormalization:
        return BatchNormalization(momentum=bn_momentum, epsilon=EPSILON, scale=False)

    filters = 2 * PATCH * PATCH * IMAGE_SHAPE[-1]
    inputs = keras.Input(IMAGE_SHAPE, dtype="uint8")
    x = pixel_normalization()(inputs)
    x = (WhiteningConv2D if whitening else layers.Conv2D)(filters, PATCH, name="whitening")(x)
    x = GELU()(x)
    for width in widths:
        x = convolution(width)(x)
        x = layers.MaxPooling2D()(x)
        x = first = GELU()(normalization()(x))
        for number in range(2, convs_per_block + 1):
            x = normalization()(convolution(width)(x))
            if number == 3:
                x = layers.Add()([x, first])
            x = GELU()(x)
    x = layers.GlobalMaxPooling2D()(x)
    x = layers.Dense(len(CLASS_NAMES), use_bias=False, kernel_initializer=uniform_initializer())(x)
    outputs = layers.Rescaling(LOGIT_SCALE, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name="airbench")


def adapt(model: keras.Model, pixels: np.ndarray) -> None:
    """Set the whitening filters from the first training images, uint8 (n, 32, 32, 3)."""
    layer = model.get_layer("whitening")
    if isinstance(layer, WhiteningConv2D):
        layer.kernel.assign(whitening_filters(pixels[:WHITENING_IMAGES]))


def whitening_filters(pixels: np.ndarray) -> np.ndarray:
    """Return filters float32 (2, 2, 3, 24) that whiten the images' normalized patches.

    The filters are the eigenvectors of the uncentered covariance of all 2 x 2 patches, each
    divided by the root of its eigenvalue, and their negatives. With both signs, the activation
    loses nothing.
    """
    images = ((pixels / 255 - MEAN) / DEVIATION).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, PATCH * PATCH * IMAGE_SHAPE[-1])
    covariance = patches.T @ patches / len(patches)
    eigenvalues, eigenvectors = np.linalg.eigh(covariance.astype(np.float64))
    filters = eigenvectors / np.sqrt(eigenvalues + WHITENING_EPSILON)
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(PATCH, PATCH, IMAGE_SHAPE[-1], -1).astype(np.float32)


class WhiteningConv2D(layers.Conv2D):
    """A valid convolution with frozen filters and a trained bias."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the filters and the bias."""
        super().build(input_shape)
        self.kernel.trainable = False


class DiracInitializer(keras.initializers.VarianceScaling):
    """Dirac initialization: the first filters copy their input, the others are uniform.

    The bound of the uniform distribution is 1 / sqrt(inputs of a filter).
    """

    def __init__(self) -> None:
        super().__init__(scale=1 / 3, mode="fan_in", distribution="uniform")

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> tf.Tensor:
        """Return a kernel of the shape (height, width, inputs, filters)."""
        kernel = np.array(super().__call__(shape, dtype))
        height, width, inputs, filters = shape
        copies = min(inputs, filters)
        kernel[..., :copies] = 0
        kernel[height // 2, width // 2, range(copies), range(copies)] = 1
        return tf.constant(kernel)


def uniform_initializer() -> keras.initializers.Initializer:
    """Return the initializer of kernels uniform within 1 / sqrt(inputs of a filter)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
