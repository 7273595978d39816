"""Model 3 has the student project's layers."""

import keras
import numpy as np
import pytest

from kaggle_cifar import models


@pytest.fixture(scope="module")
def model3():
    return models.build("model3", {})


def test_model3_has_the_published_parameters(model3):
    assert model3.count_params() == 309_290
    assert sum(int(np.prod(weight.shape)) for weight in model3.non_trainable_weights) == 896


def test_model3_has_the_published_layers(model3):
    kinds = [type(layer).__name__ for layer in model3.layers]
    block = ["Conv2D", "BatchNormalization"] * 2 + ["MaxPooling2D", "Dropout"]
    assert kinds == ["InputLayer", "Rescaling", *block * 3, "Flatten", "Dense"]
    convolutions = [layer for layer in model3.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 32, 64, 64, 128, 128]
    for layer in convolutions:
        assert layer.activation is keras.activations.elu
        assert layer.kernel_regularizer.l2 == pytest.approx(1e-4)
        assert (layer.kernel_size, layer.padding) == ((3, 3), "same")
    dropouts = [layer.rate for layer in model3.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropouts == [0.2, 0.3, 0.4]


def test_model3_scales_pixels_itself(model3):
    black, white = np.zeros((1, 32, 32, 3), np.uint8), np.full((1, 32, 32, 3), 255, np.uint8)
    scaled = model3.layers[1]
    np.testing.assert_array_equal(scaled(black), 0)
    np.testing.assert_allclose(scaled(white), 1, rtol=1e-6)
