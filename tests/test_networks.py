"""The networks layer by layer, how they start, and the fused batch normalisation."""

import json
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
from small_data import layout_in, write_training_data

from kaggle_cifar import inference, layers, networks, optimizers, training
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.runs import RunOptions


@pytest.fixture
def model3():
    return networks.build("model3", {})


@pytest.mark.parametrize(("name", "count"), [("model1", 122_570), ("model2", 167_818)])
def test_the_first_two_networks_have_the_student_projects_parameters(name, count):
    assert networks.build(name, {}).count_params() == count


def test_model1_has_the_student_projects_layers():
    kinds = [type(layer).__name__ for layer in networks.build("model1", {}).layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 2 + ["Conv2D"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", "Dense", "Dense"]


def test_model2_has_the_student_projects_layers():
    model = networks.build("model2", {})
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 3
    dense = ["Dense", "Dropout", "Dense", "Dense"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", *dense]
    assert model.layers[-3].rate == 0.5


@pytest.mark.parametrize("name", networks.names())
def test_every_network_gives_probabilities_in_the_end(name):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    probabilities = np.asarray(inference.compile_forward(networks.build(name, {}))(pixels))
    assert probabilities.shape == (3, 10)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_model3_has_the_student_projects_parameters(model3):
    assert model3.count_params() == 309_290
    assert sum(int(np.prod(weight.shape)) for weight in model3.non_trainable_weights) == 896


def test_model3_has_the_student_projects_layers(model3):
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


@pytest.mark.parametrize("scale", [True, False])
def test_fused_batch_normalisation_is_keras_own(scale):
    import tensorflow as tf

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


def test_the_documented_network_is_found_in_its_file_and_trains(tmp_path, monkeypatch):
    page = (Path(__file__).parent.parent / "docs" / "own-recipe.md").read_text()
    code = page[page.index('    """A perceptron') : page.index("That is all")]
    (tmp_path / "perceptron.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    recipe = json.loads(page[page.index("    {") : page.index("| key |")])
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({**recipe, "network": "perceptron", "epochs": 1}))
    layout = layout_in(tmp_path)
    write_training_data(layout, 20)
    run = training.train(layout, find_recipe(str(file)), "mine", RunOptions())
    assert run.load_model().count_params() == (3072 + 1) * 100 + (100 + 1) * 10
