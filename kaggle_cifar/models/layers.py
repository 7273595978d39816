"""Layers that more than one network uses."""

import functools
import math
from collections.abc import Callable

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Normalise (batch, height, width, channels) with TensorFlow's fused operation.

    Mathematically Keras' own layer with the same weights and defaults, which on TensorFlow
    computes the moments, the normalisation and their gradients in separate passes over the
    activations. One fused operation a direction takes about half of Model 3's step away on a CPU.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the normalised inputs; in training, update the moving moments."""
        weights = {"scale": self._scale(), "offset": self.beta, "epsilon": self.epsilon}
        if not (training and self.trainable):
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                mean=self.moving_mean,
                variance=self.moving_variance,
                is_training=False,
                **weights,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(inputs, **weights)
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
        # The operation reports the unbiased variance, Keras keeps the biased one.
        self._update(self.moving_mean, mean)
        self._update(self.moving_variance, variance * (count - 1) / count)
        return outputs

    def _scale(self) -> tf.Tensor:
        return self.gamma if self.scale else tf.ones_like(self.moving_variance)

    def _update(self, moving: keras.Variable, current: tf.Tensor) -> None:
        moving.assign(moving * self.momentum + current * (1 - self.momentum))


class GELU(keras.layers.Layer):
    """Gaussian error linear units, compiled to one pass over the activations each way.

    TensorFlow computes them and their gradient in some fifteen passes, which cost a small network
    on a CPU as much as a third of its convolutions. With `fused` set to false, the layer is made
    of operations that ONNX has too. TensorFlow's own are not: they use Erfc.
    """

    fused = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return x * P(X <= x) of each input, X being standard normal."""
        return _fused_gelu(inputs) if self.fused and _xla_works() else _plain_gelu(inputs)


def _plain_gelu(inputs: tf.Tensor) -> tf.Tensor:
    x = tf.cast(inputs, tf.float32)
    return tf.cast(0.5 * x * (1 + tf.math.erf(x / math.sqrt(2))), inputs.dtype)


@tf.custom_gradient
def _fused_gelu(inputs: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    return _gelu(inputs), lambda upstream: _gelu_gradient(inputs, upstream)


@tf.function(autograph=False, jit_compile=True)
def _gelu(inputs: tf.Tensor) -> tf.Tensor:
    x = tf.cast(inputs, tf.float32)
    return tf.cast(x * _normal_cdf(x), inputs.dtype)


@tf.function(autograph=False, jit_compile=True)
def _gelu_gradient(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    x = tf.cast(inputs, tf.float32)
    slope = _normal_cdf(x) + x * tf.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return tf.cast(tf.cast(upstream, tf.float32) * slope, inputs.dtype)


def _normal_cdf(x: tf.Tensor) -> tf.Tensor:
    return 0.5 * tf.math.erfc(-x / math.sqrt(2))


@functools.cache
def _xla_works() -> bool:
    """Return whether this TensorFlow compiles with XLA, as that for Windows does not."""
    try:
        with tf.init_scope():
            _gelu(tf.zeros(1))
    except tf.errors.OpError:
        return False
    return True
