"""Networks are built as recipes ask, and faulty ones are errors with their line."""

import keras
import numpy as np
import pytest

from kaggle_cifar import models, recipes
from kaggle_cifar.models import NetworkError, inference


@pytest.mark.parametrize("name", models.names())
def test_network_gives_probabilities(name):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    probabilities = np.asarray(inference.compile_forward(models.build(name, {}))(pixels))
    assert probabilities.shape == (3, 10)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("airbench", {"depth": 3}), ("airbench", {"widths": "wide"}), ("model3", {"widths": [8]})],
)
def test_impossible_option_is_an_error(name, options):
    with pytest.raises(NetworkError) as caught:
        models.build(name, options)
    assert (caught.value.network, caught.value.fault) == (name, "build")


ENDS = """\
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
""".splitlines()


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
def test_network_with_other_ends_is_an_error(options, fault):
    with pytest.raises(NetworkError) as caught:
        models.build("my_net.py", options, source=ENDS)
    assert (caught.value.network, caught.value.fault) == ("my_net.py", fault)


def test_output_that_follows_the_policy_is_an_error():
    model = models.build("my_net.py", {"gives": None}, source=ENDS)
    assert model.count_params() == (3072 + 1) * 10
    with pytest.raises(NetworkError) as caught:
        models.build("my_net.py", {"gives": None}, "mixed_bfloat16", ENDS)
    assert caught.value.fault == "output dtype"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def build():\n    return undefined", 2),
        ("import sys\ndef build():\n    sys.exit(1)", 3),
        ("def build(): pass\nbuild = iter", None),
    ],
)
def test_failing_build_is_an_error_with_its_line(code, line):
    with pytest.raises(NetworkError) as caught:
        models.build("my_net.py", {}, source=code.split("\n"))
    assert (caught.value.fault, caught.value.line) == ("build", line)
    assert line is None or f"(my_net.py, line {line})" in str(caught.value)


def test_failing_adapt_is_an_error_with_its_line():
    source = ["def build(): pass", "def adapt(model, pixels):", "    model.x"]
    with pytest.raises(NetworkError) as caught:
        models.adapt("my_net.py", None, None, source)
    assert (caught.value.fault, caught.value.line) == ("adapt", 3)
    models.adapt("my_net.py", None, None, source[:1])  # it is optional


@pytest.mark.parametrize("failing", [False, True])
def test_policy_holds_for_one_network_only(failing):
    options = {"depth": 3} if failing else {}
    try:
        model = models.build("model1", options, "mixed_bfloat16")
    except NetworkError:
        assert failing
    else:
        assert model.layers[2].compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == "float32"
    assert models.build("model1", {}).layers[2].compute_dtype == "float32"


def test_flops_equal_a_count_by_hand():
    small = models.build("airbench", {"widths": [8, 16, 4]})
    whitening = 31 * 31 * (2 * 2 * 3) * 24
    first = 31 * 31 * (9 * 24) * 8 + 15 * 15 * (9 * 8) * 8
    second = 15 * 15 * (9 * 8) * 16 + 7 * 7 * (9 * 16) * 16
    third = 7 * 7 * (9 * 16) * 4 + 3 * 3 * (9 * 4) * 4
    assert models.flops(small) == 2 * (whitening + first + second + third + 4 * 10)
    # Training takes three times as many: 0.35 PFLOP for 9.9 epochs, and 0.36 in the paper.
    forward = models.flops(models.build("airbench", recipes.airbench94().network_options))
    assert forward == pytest.approx(236e6, rel=0.005)
    assert 3 * forward * 50_000 * 9.9 == pytest.approx(0.36e15, rel=0.05)
