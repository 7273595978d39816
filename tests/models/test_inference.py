"""Test-time augmentation: the six views against plain NumPy, for every kind of network."""

import keras
import numpy as np
import pytest

from kaggle_cifar import models
from kaggle_cifar.models.inference import compile_forward

NETWORKS = {
    "airbench": {"widths": [8, 8, 8], "bn_momentum": 0.0},
    "model1": {},
    "model3": {},  # gives probabilities, the others logits
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return models.build(request.param, NETWORKS[request.param])


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def six_views(pixels):
    """Return the weights and views of airbench: the image, a pixel up and left, down and right."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    views = [pixels, padded[:, :32, :32], padded[:, 2:, 2:]]
    return [0.25, 0.125, 0.125] * 2, [*views, *(view[:, :, ::-1] for view in views)]


def log_probabilities(network, pixels):
    outputs = np.asarray(network(pixels, training=False)).astype(float)
    if network.output_names == ["probabilities"]:
        return np.log(outputs)
    return outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))


def test_six_views_are_averaged_in_their_logits(network, pixels):
    weights, views = six_views(pixels)
    logs = [log_probabilities(network, view) for view in views]
    mean = np.exp(np.tensordot(weights, logs, axes=1))
    expected = mean / mean.sum(axis=1, keepdims=True)
    result = np.asarray(compile_forward(network, "tta")(pixels))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert result.dtype == np.float32
    plain = np.asarray(compile_forward(network)(pixels))
    np.testing.assert_allclose(plain, np.exp(log_probabilities(network, pixels)), atol=1e-5)
    assert np.abs(plain - result).max() > 1e-4


def test_six_views_of_one_colour_are_one_view(network):
    pixels = np.full((2, 32, 32, 3), [[[[30, 120, 200]]], [[[255, 0, 90]]]], np.uint8)
    plain, tta = (np.asarray(compile_forward(network, views)(pixels)) for views in ("plain", "tta"))
    np.testing.assert_allclose(tta, plain, atol=1e-5)  # the weights sum to one


def test_a_mirrored_image_of_equal_rows_has_the_same_six_views(network, pixels):
    striped = np.broadcast_to(pixels[:, :1], pixels.shape)
    forward = compile_forward(network, "tta")
    np.testing.assert_allclose(forward(striped), forward(striped[:, :, ::-1]), atol=1e-5)


def test_views_that_leave_each_other_no_probability_still_have_a_mean(pixels):
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    x = keras.layers.Dense(10, activation="softmax", name="probabilities")(x)
    network = keras.Model(inputs, x)
    kernel, _ = network.layers[-1].variables
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) * 1e6)
    _, views = six_views(pixels)
    outputs = np.array([network(view, training=False) for view in views])
    assert (outputs.max(axis=2) == 1).all()  # each is sure, and not all of the same
    assert (outputs.min(axis=0) == 0).all()
    result = np.asarray(compile_forward(network, "tta")(pixels))
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)
