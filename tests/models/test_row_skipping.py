"""Row skipping gives the same numbers, bit for bit, and changes only what it may."""

import keras
import numpy as np
import pytest
from keras import layers

from kaggle_cifar import models
from kaggle_cifar.models.inference import compile_forward
from kaggle_cifar.models.row_skipping import PooledConv2D, skip_unpooled

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


def randomize(model):
    """Give batch normalization moments as a training leaves them."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape) / 10)
            layer.moving_variance.assign(rng.uniform(0.5, 2, size=layer.moving_variance.shape))


def skipped(model):
    return [layer for layer in model.layers if isinstance(layer, PooledConv2D)]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("convs_per_block", [2, 3])
def test_skipping_gives_the_same_bits(policy, convs_per_block):
    options = {"widths": [16, 24, 32], "convs_per_block": convs_per_block}
    model = models.build("airbench", options, policy)
    randomize(model)
    lean = skip_unpooled(model)
    assert len(skipped(lean)) == 3
    for views in ("plain", "augmented"):
        expected = np.asarray(compile_forward(model, views)(PIXELS))
        np.testing.assert_array_equal(np.asarray(compile_forward(lean, views)(PIXELS)), expected)


@pytest.mark.parametrize("name", ["model1", "model2", "model3"])
def test_network_with_even_maps_stays_as_it_is(name):
    model = models.build(name, {})
    assert skip_unpooled(model) is model


def network(size=3, activation=None, pooling=2, second=False):
    """Return a network whose convolution has an odd map, 31 x 31, and perhaps another consumer."""
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Conv2D(4, 2)(layers.Rescaling(1 / 255)(inputs))
    x = layers.Conv2D(4, size, padding="same", use_bias=False, activation=activation)(x)
    ends = [layers.Flatten()(layers.MaxPooling2D(pooling)(x))]
    if second:
        ends.append(layers.GlobalMaxPooling2D()(x))
    x = layers.Concatenate()(ends) if second else ends[0]
    return keras.Model(inputs, layers.Dense(10, name="logits")(x))


def test_convolution_before_pooling_is_skipped():
    assert len(skipped(skip_unpooled(network()))) == 1


@pytest.mark.parametrize(
    "options", [{"size": 5}, {"activation": "relu"}, {"pooling": 3}, {"second": True}]
)
def test_other_convolutions_stay_as_they_are(options):
    model = network(**options)
    assert skip_unpooled(model) is model
