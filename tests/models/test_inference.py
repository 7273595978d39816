"""Test-time augmentation agrees with plain NumPy; files of probabilities are checked."""

import keras
import numpy as np
import pytest

from kaggle_cifar.models.inference import (
    NotProbabilitiesError,
    UnreadableProbabilitiesError,
    compile_forward,
    merge_views,
    read_array,
    read_probabilities,
    write_array,
    write_probabilities,
)


@pytest.fixture(params=["logits", "probabilities"], scope="module")
def network(request):
    """A small network whose output depends on where things are in the image."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    activation = "softmax" if request.param == "probabilities" else None
    return keras.Model(inputs, keras.layers.Dense(10, activation=activation, name=request.param)(x))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def weighted_views(pixels):
    """Return the weights and views of airbench's test-time augmentation."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    views = [pixels, padded[:, :32, :32], padded[:, 2:, 2:]]
    return [0.25, 0.125, 0.125] * 2, [*views, *(view[:, :, ::-1] for view in views)]


def log_probabilities(network, pixels):
    outputs = np.asarray(network(pixels, training=False)).astype(float)
    if network.output_names == ["probabilities"]:
        return np.log(outputs)
    return outputs - np.log(np.exp(outputs).sum(axis=1, keepdims=True))


def test_tta_averages_the_logits_of_its_views(network, pixels):
    weights, views = weighted_views(pixels)
    logs = [log_probabilities(network, view) for view in views]
    mean = np.exp(np.tensordot(weights, logs, axes=1))
    expected = mean / mean.sum(axis=1, keepdims=True)
    result = np.asarray(compile_forward(network, "tta")(pixels))
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert result.dtype == np.float32
    plain = np.asarray(compile_forward(network)(pixels))
    np.testing.assert_allclose(plain, np.exp(log_probabilities(network, pixels)), atol=1e-5)
    assert np.abs(plain - result).max() > 1e-4


def test_merged_views_are_those_of_one_pass(network, pixels):
    plain, augmented, tta = (
        np.asarray(compile_forward(network, views)(pixels))
        for views in ("plain", "augmented", "tta")
    )
    merged = merge_views(plain, augmented)
    np.testing.assert_allclose(merged, tta, atol=1e-6)
    assert merged.dtype == np.float32
    assert np.abs(augmented - tta).max() > 1e-4


def test_merged_views_without_a_common_class_have_a_mean():
    certain = np.eye(10, dtype=np.float32)
    merged = merge_views(certain, np.roll(certain, 1, axis=1))
    np.testing.assert_allclose(merged.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(merged.argmax(axis=1), np.roll(certain, 1, axis=1).argmax(axis=1))


def test_tta_of_one_colour_equals_the_plain_view(network):
    pixels = np.full((2, 32, 32, 3), [[[[30, 120, 200]]], [[[255, 0, 90]]]], np.uint8)
    plain, tta = (np.asarray(compile_forward(network, views)(pixels)) for views in ("plain", "tta"))
    np.testing.assert_allclose(tta, plain, atol=1e-5)  # the weights sum to one


def test_tta_of_a_mirrored_striped_image_is_the_same(network, pixels):
    striped = np.broadcast_to(pixels[:, :1], pixels.shape)
    forward = compile_forward(network, "tta")
    np.testing.assert_allclose(forward(striped), forward(striped[:, :, ::-1]), atol=1e-5)


def test_tta_of_contradicting_views_has_a_mean(pixels):
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    x = keras.layers.Dense(10, activation="softmax", name="probabilities")(x)
    network = keras.Model(inputs, x)
    kernel, _ = network.layers[-1].variables
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape) * 1e6)
    _, views = weighted_views(pixels)
    outputs = np.array([network(view, training=False) for view in views])
    assert (outputs.max(axis=2) == 1).all()  # certain, but not of the same class
    assert (outputs.min(axis=0) == 0).all()
    result = np.asarray(compile_forward(network, "tta")(pixels))
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)


IDS, ROWS = np.array([3, 1]), np.full((2, 10), 0.1, np.float32)


def test_probabilities_survive_their_file(tmp_path):
    write_probabilities(tmp_path / "p.npy", IDS, ROWS)
    rows = read_probabilities(tmp_path / "p.npy")
    np.testing.assert_array_equal(rows["id"], IDS)
    np.testing.assert_array_equal(rows["probabilities"], ROWS)


@pytest.mark.parametrize("value", [np.nan, -0.1, 0.2])
def test_rows_that_are_no_probabilities_are_an_error(tmp_path, value):
    wrong = ROWS.copy()
    wrong[1, 0] = value
    write_probabilities(tmp_path / "p.npy", IDS, wrong)
    with pytest.raises(NotProbabilitiesError) as caught:
        read_probabilities(tmp_path / "p.npy")
    assert (caught.value.path, caught.value.count) == (tmp_path / "p.npy", 1)


@pytest.mark.parametrize("content", [None, b"", b"\x93NUMPY", b"PK\x03\x04", np.zeros(3)])
def test_other_file_is_an_error(tmp_path, content):
    path = tmp_path / "p.npy"
    if isinstance(content, np.ndarray):
        write_array(path, content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableProbabilitiesError) as caught:
        read_probabilities(path)
    assert caught.value.path == path


def test_pickle_in_an_array_is_an_error(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object))
    with pytest.raises(UnreadableProbabilitiesError):
        read_array(tmp_path / "p.npy", np.dtype(object))
