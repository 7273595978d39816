"""airbench's network: sizes, layers, whitening and Dirac initialization."""

import keras
import numpy as np
import pytest

from kaggle_cifar import models, recipes
from kaggle_cifar.models import airbench

SMALL = {"widths": [8, 8, 8]}


def build_of(recipe):
    return models.build(recipe.network, recipe.network_options)


@pytest.mark.parametrize(
    ("recipe", "parameters", "published"),
    [
        ("airbench94", 1_973_944, 1.97e6),
        ("airbench95", 4_608_312, 4.60e6),
        ("airbench96", 9_921_848, 9.92e6),
    ],
)
def test_airbench_networks_have_the_published_sizes(recipe, parameters, published):
    assert build_of(recipes.RECIPES[recipe]()).count_params() == parameters
    # Keras counts the normalisations' moving statistics, and there is no scale.
    assert parameters == pytest.approx(published, rel=0.0025)


def test_airbench_networks_have_the_published_layers():
    kinds = [type(layer).__name__ for layer in build_of(recipes.airbench94()).layers]
    start = ["InputLayer", "Rescaling", "WhiteningConv2D", "GELU"]
    block = ["Conv2D", "MaxPooling2D", "BatchNormalization", "GELU"]
    block += ["Conv2D", "BatchNormalization", "GELU"]
    assert kinds == [*start, *block * 3, "GlobalMaxPooling2D", "Dense", "Rescaling"]

    model = build_of(recipes.airbench96())
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [24, *[128] * 3, *[384] * 3, *[512] * 3]
    assert sum(isinstance(layer, keras.layers.Add) for layer in model.layers) == 3
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.scale, layer.momentum) == (False, 0.9)


def smooth_images(count):
    """Return random images with correlated neighbouring pixels and colours, as in photographs."""
    noise = np.random.default_rng(0).normal(size=(count, 33, 33, 4))
    mixed = noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1]
    mixed = mixed[..., :3] + mixed[..., 1:]
    return np.clip(128 + 40 * mixed, 0, 255).astype(np.uint8)


def test_whitening_filters_whiten_with_both_signs():
    pixels = smooth_images(40)
    model = models.build("airbench", SMALL)
    models.adapt("airbench", model, pixels)
    whitening = model.get_layer("whitening")
    normalized = model.get_layer("normalization")(pixels)
    np.testing.assert_allclose(
        normalized[0, 5, 6], (pixels[0, 5, 6] / 255 - airbench.MEAN) / airbench.DEVIATION, rtol=1e-4
    )
    raw, white = (
        np.asarray(x).reshape(-1, x.shape[-1]) for x in (normalized, whitening(normalized))
    )
    assert abs(np.corrcoef(raw.T)[0, 1]) > 0.3  # the images are not white yet
    half = white.shape[1] // 2
    np.testing.assert_allclose(white[:, half:], -white[:, :half], atol=1e-4)
    covariance = white[:, :half].T @ white[:, :half] / len(white)
    np.testing.assert_allclose(covariance, np.eye(half), atol=0.02)


def test_whitening_uses_the_first_images_only(monkeypatch):
    pixels = smooth_images(8)
    monkeypatch.setattr(airbench, "WHITENING_IMAGES", 5)
    kernels = []
    for count in (5, 8):
        model = models.build("airbench", SMALL)
        models.adapt("airbench", model, pixels[:count])
        kernels.append(np.asarray(model.get_layer("whitening").kernel))
    np.testing.assert_array_equal(*kernels)


def test_whitening_trains_its_bias_only():
    model = models.build("airbench", SMALL)
    whitening = model.get_layer("whitening")
    trained = {id(variable) for variable in model.trainable_variables}
    assert id(whitening.kernel) not in trained
    assert id(whitening.bias) in trained


@pytest.mark.parametrize(("inputs", "filters"), [(24, 64), (24, 24), (24, 8)])
def test_dirac_initialization_copies_the_input(inputs, filters):
    images = np.random.default_rng(0).normal(size=(2, 6, 6, inputs)).astype(np.float32)
    keras.utils.set_random_seed(0)
    convolution = keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=airbench.DiracInitializer()
    )
    outputs = np.asarray(convolution(images))
    passed = min(inputs, filters)
    np.testing.assert_allclose(outputs[..., :passed], images[..., :passed], rtol=1e-6)
    others = np.asarray(convolution.kernel)[..., passed:]
    bound = 1 / np.sqrt(9 * inputs)
    if filters > inputs:
        assert 0.98 * bound < np.abs(others).max() <= bound
        assert others.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
