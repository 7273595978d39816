"""Networks that are written as a function."""

import keras
import pytest
from keras import layers

import kaggle_cifar as kc
from kaggle_cifar.api.networks import NetworkFunctionError, network_source
from kaggle_cifar.models import own_network
from kaggle_cifar.recipes import change_recipe, find_recipe

WIDTH = 4


@pytest.fixture(autouse=True)
def own_notes(monkeypatch, clean_home):
    monkeypatch.setattr(own_network, "_allowed", set())
    monkeypatch.setattr(own_network, "_registered", {})


def perceptron(units=8):
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(10, name="logits")(layers.Dense(units)(x)))


def with_constant():
    return keras.Input((WIDTH,))


def test_code_has_the_imports_it_needs():
    lines = network_source("mine", perceptron)
    assert lines[:2] == ["import keras", "import keras.layers as layers"]
    assert lines[-2] == "build = perceptron"


def test_registered_network_is_a_recipes_network():
    kc.register_network("mine", perceptron)
    recipe = change_recipe(find_recipe("model1"), ["network=mine"])
    assert recipe.network == "mine.py"
    assert recipe.network_source == network_source("mine", perceptron)


@pytest.mark.parametrize("build", [with_constant, lambda: None, len])
def test_code_that_cannot_be_kept_is_refused(build):
    with pytest.raises(NetworkFunctionError):
        kc.register_network("mine", build)


def test_network_must_be_a_function():
    with pytest.raises(TypeError, match="build must be a function"):
        kc.register_network("mine", 3)
