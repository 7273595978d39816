"""Layers that more than one network uses."""

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
