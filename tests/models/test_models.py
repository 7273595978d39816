"""The networks layer by layer, how they start, and the fused batch normalisation."""

import json
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf

from kaggle_cifar import models, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.models import airbench, inference, layers
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.train import train
from tests.helpers import ROOT
from tests.helpers.small_data import project_in, write_training_data


@pytest.fixture
def model3():
    return models.build("model3", {})


@pytest.mark.parametrize(("name", "count"), [("model1", 122_570), ("model2", 167_818)])
def test_the_first_two_networks_have_the_student_projects_parameters(name, count):
    assert models.build(name, {}).count_params() == count


def test_model1_has_the_student_projects_layers():
    kinds = [type(layer).__name__ for layer in models.build("model1", {}).layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 2 + ["Conv2D"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", "Dense", "Dense"]


def test_model2_has_the_student_projects_layers():
    model = models.build("model2", {})
    kinds = [type(layer).__name__ for layer in model.layers]
    convolutions = ["Conv2D", "MaxPooling2D"] * 3
    dense = ["Dense", "Dropout", "Dense", "Dense"]
    assert kinds == ["InputLayer", "Rescaling", *convolutions, "Flatten", *dense]
    assert model.layers[-3].rate == 0.5


@pytest.mark.parametrize("name", models.names())
def test_every_network_gives_probabilities_in_the_end(name):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    probabilities = np.asarray(inference.compile_forward(models.build(name, {}))(pixels))
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("fused", [True, False])
def test_gelu_is_tensorflows_with_its_gradient(dtype, fused):
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
def test_the_airbench_networks_have_the_published_sizes(recipe, parameters, published):
    assert build_of(recipes.RECIPES[recipe]()).count_params() == parameters
    # Keras counts the normalisations' moving statistics, and there is no scale.
    assert parameters == pytest.approx(published, rel=0.0025)


def test_airbench_has_the_papers_layers():
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
    """Return random images whose neighbouring pixels and colours are alike, as in photographs."""
    noise = np.random.default_rng(0).normal(size=(count, 33, 33, 4))
    mixed = noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1]
    mixed = mixed[..., :3] + mixed[..., 1:]
    return np.clip(128 + 40 * mixed, 0, 255).astype(np.uint8)


def test_whitened_patches_are_white_and_come_with_their_negatives():
    pixels = smooth_images(40)
    model = models.build("airbench", {"widths": [8, 8, 8]})
    models.adapt("airbench", model, pixels)
    whitening = model.get_layer("whitening")
    normalized = model.get_layer("normalization")(pixels)
    np.testing.assert_allclose(
        normalized[0, 5, 6], (pixels[0, 5, 6] / 255 - airbench.MEAN) / airbench.DEVIATION, rtol=1e-4
    )
    raw, white = (
        np.asarray(x).reshape(-1, x.shape[-1]) for x in (normalized, whitening(normalized))
    )
    assert abs(np.corrcoef(raw.T)[0, 1]) > 0.3  # there was something to do
    half = white.shape[1] // 2
    np.testing.assert_allclose(white[:, half:], -white[:, :half], atol=1e-4)
    covariance = white[:, :half].T @ white[:, :half] / len(white)
    np.testing.assert_allclose(covariance, np.eye(half), atol=0.02)


def test_whitening_takes_the_first_images_only(monkeypatch):
    pixels = smooth_images(8)
    monkeypatch.setattr(airbench, "WHITENING_IMAGES", 5)
    kernels = []
    for count in (5, 8):
        model = models.build("airbench", {"widths": [8, 8, 8]})
        models.adapt("airbench", model, pixels[:count])
        kernels.append(np.asarray(model.get_layer("whitening").kernel))
    np.testing.assert_array_equal(*kernels)


def test_the_whitening_filters_are_not_trained_but_their_bias_is():
    model = models.build("airbench", {"widths": [8, 8, 8]})
    whitening = model.get_layer("whitening")
    trained = {id(variable) for variable in model.trainable_variables}
    assert id(whitening.kernel) not in trained
    assert id(whitening.bias) in trained


@pytest.mark.parametrize(("inputs", "filters"), [(24, 64), (24, 24), (24, 8)])
def test_convolutions_begin_as_the_identity(inputs, filters):
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


def test_an_option_that_a_network_has_not_is_a_sentence():
    for name, options in (
        ("airbench", {"depth": 3}),
        ("airbench", {"widths": "wide"}),
        ("model3", {"widths": [8]}),
    ):
        with pytest.raises(UserError, match=rf"The network {name} cannot be built with"):
            models.build(name, options)


def write_network(tmp_path, monkeypatch, name, content):
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    return tmp_path / f"{name}.py"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("no_syntax", "x = 1\ndef build(:\n", 2),
        ("no_import", "import nothing_of_that_name\n", 1),
        ("no_name", "\n\nx = undefined\n", 3),
        ("no_text", "x = '\0'\n", None),
        ("no_build", "x = 1\n", None),
    ],
)
def test_a_faulty_network_file_is_named(tmp_path, monkeypatch, name, content, line):
    file = write_network(tmp_path, monkeypatch, name, content)
    with pytest.raises(models.NetworkError) as caught:
        models.build(name, {})
    assert (caught.value.network, caught.value.fault) == (name, "file")
    assert str(file) in str(caught.value)
    assert line is None or f"line {line})" in str(caught.value)


def test_a_network_that_fails_while_it_is_built_is_named(tmp_path, monkeypatch):
    content = "def build():\n    return undefined\n\ndef adapt(model, pixels):\n    model.x\n"
    file = write_network(tmp_path, monkeypatch, "fails", content)
    with pytest.raises(models.NetworkError) as caught:
        models.build("fails", {})
    assert caught.value.fault == "build"
    assert f"({file}, line 2)" in str(caught.value)
    with pytest.raises(models.NetworkError) as caught:
        models.adapt("fails", None, None)
    assert caught.value.fault == "adapt"


OWN_NETWORK = """
import keras

def build(shape=(32, 32, 3), takes="uint8", units=10, name="logits", gives="float32", kind="Model"):
    inputs = keras.Input(shape, dtype=takes)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    outputs = keras.layers.Dense(units, dtype=gives, name=name)(x)
    if kind == "Sequential":
        return keras.Sequential([inputs, *keras.Model(inputs, outputs).layers[1:]])
    if kind == "two outputs":
        return keras.Model(inputs, [outputs, x])
    return keras.Model(inputs, outputs) if kind == "Model" else None
"""


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"shape": [28, 28, 3]}, "input shape"),
        ({"takes": "float32"}, "input dtype"),
        ({"units": 7}, "output shape"),
        ({"name": "dense"}, "output name"),
        ({"gives": "float16"}, "output dtype"),
        ({"kind": "Sequential"}, "kind"),
        ({"kind": "two outputs"}, "kind"),
        ({"kind": "None"}, "kind"),
    ],
)
def test_a_network_that_gives_something_else_is_refused(tmp_path, monkeypatch, options, fault):
    write_network(tmp_path, monkeypatch, "own_network", OWN_NETWORK)
    assert models.build("own_network", {}).count_params() == (3072 + 1) * 10
    with pytest.raises(models.NetworkError) as caught:
        models.build("own_network", options)
    assert (caught.value.network, caught.value.fault) == ("own_network", fault)


def test_a_network_whose_output_follows_the_policy_is_refused(tmp_path, monkeypatch):
    write_network(tmp_path, monkeypatch, "own_output", OWN_NETWORK)
    models.build("own_output", {"gives": None})
    with pytest.raises(models.NetworkError) as caught:
        models.build("own_output", {"gives": None}, "mixed_bfloat16")
    assert caught.value.fault == "output dtype"


@pytest.mark.parametrize("failing", [False, True])
def test_a_policy_is_of_one_network_only(failing):
    options = {"depth": 3} if failing else {}
    try:
        model = models.build("model1", options, "mixed_bfloat16")
    except UserError:
        assert failing
    else:
        assert model.layers[2].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert models.build("model1", {}).layers[2].compute_dtype == "float32"


def test_flops_are_those_counted_by_hand():
    small = models.build("airbench", {"widths": [8, 16, 4]})
    whitening = 31 * 31 * (2 * 2 * 3) * 24
    first = 31 * 31 * (9 * 24) * 8 + 15 * 15 * (9 * 8) * 8
    second = 15 * 15 * (9 * 8) * 16 + 7 * 7 * (9 * 16) * 16
    third = 7 * 7 * (9 * 16) * 4 + 3 * 3 * (9 * 4) * 4
    assert models.flops(small) == 2 * (whitening + first + second + third + 4 * 10)
    # Training takes thrice that: 708 MFLOP, and 0.35 PFLOP for the paper's 9.9 epochs (0.36 there).
    forward = models.flops(build_of(recipes.airbench94()))
    assert forward == pytest.approx(236e6, rel=0.005)
    assert 3 * forward * 50_000 * 9.9 == pytest.approx(0.36e15, rel=0.05)


def test_the_documented_network_is_found_in_its_file_and_trains(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "own-recipe.md").read_text()
    code = page[page.index('    """A perceptron') : page.index("That is all")]
    (tmp_path / "perceptron.py").write_text(textwrap.dedent(code))
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    recipe = json.loads(page[page.index("    {") : page.index("and this one")])
    file = tmp_path / "run.json"
    file.write_text(json.dumps({**recipe, "network": "perceptron", "epochs": 1}))
    project = project_in(tmp_path)
    write_training_data(project, 20)
    run = train(project, find_recipe(str(file)), "mine", RunOptions())
    assert run.load_model().count_params() == (3072 + 1) * 100 + (100 + 1) * 10
