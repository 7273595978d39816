"""The fused layers compute what Keras and TensorFlow do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kaggle_cifar.models import layers


@pytest.mark.parametrize("scale", [True, False])
def test_batch_normalization_equals_keras(scale):
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, (8, 5, 5, 4)), tf.float32)
    towards = tf.constant(rng.normal(size=(8, 5, 5, 4)), tf.float32)
    results = []
    for kind in (keras.layers.BatchNormalization, layers.BatchNormalization):
        layer = kind(scale=scale)
        layer.build(inputs.shape)
        layer.beta.assign([0.1, -0.2, 0.3, 0.0])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs * towards)
        gradients = tape.gradient(loss, [inputs, *(v.value for v in layer.trainable_variables)])
        results.append([outputs, *layer.non_trainable_variables, layer(inputs), *gradients])
    for keras_value, own_value in zip(*results, strict=True):
        np.testing.assert_allclose(keras_value, own_value, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fused", [True, False])
def test_gelu_and_its_gradient_equal_tensorflow(dtype, fused):
    layer = layers.GELU(dtype=dtype)
    layer.fused = fused
    inputs = tf.cast(tf.linspace(-6.0, 6.0, 999), dtype)
    upstream = tf.cast(tf.linspace(1.0, 2.0, 999), dtype)
    results = []
    for function in (layer, tf.nn.gelu):
        x = inputs if function is layer else tf.cast(inputs, "float32")
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = function(x)
        gradient = tape.gradient(outputs, x, tf.cast(upstream, x.dtype))
        results.append([tf.cast(value, "float32") for value in (outputs, gradient)])
    rounding = 2e-2 if dtype == "bfloat16" else 1e-5
    np.testing.assert_allclose(*results, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(("fault", "fused"), [("", True), ("InternalError: no ptxas", False)])
def test_gelu_is_compiled_only_if_xla_works(monkeypatch, fault, fused):
    monkeypatch.setattr(layers, "xla_fault", lambda: fault)
    monkeypatch.setattr(layers, "_fused_gelu", lambda _: True)
    monkeypatch.setattr(layers, "_plain_gelu", lambda _: False)
    assert layers.GELU().call(tf.zeros(1)) == fused
