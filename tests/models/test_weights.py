"""Weights are loaded from their file alone; links to other files are errors."""

import h5py
import keras
import numpy as np
import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.models import weights
from kaggle_cifar.ownership import ForeignPathError

PLACE = "layers/dense/vars/0"


def dense_model(units=10):
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(units, name="dense")(inputs))


@pytest.fixture
def model():
    return dense_model()


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    return path


@pytest.fixture
def secret(path, tmp_path):
    """A file of another user with data that would fit the weights."""
    with h5py.File(path) as file:
        shape = file[PLACE].shape
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["layers"] = np.full(shape, 7.0, np.float32)
    return secret


def external_link(file, secret):
    file[PLACE] = h5py.ExternalLink(str(secret), "/layers")


def soft_link(file, secret):
    file[PLACE] = h5py.SoftLink("/layers/dense/vars/1")


def soft_link_through_another(file, secret):
    file["other"] = h5py.ExternalLink(str(secret), "/")
    file[PLACE] = h5py.SoftLink("/other/layers")


def external_data(file, secret):
    shape = h5py.File(secret)["layers"].shape
    external = [(str(secret), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(PLACE, shape, np.float32, external=external)


def virtual_data(file, secret):
    shape = h5py.File(secret)["layers"].shape
    project = h5py.VirtualLayout(shape, np.float32)
    project[:] = h5py.VirtualSource(str(secret), "layers", shape)
    file.create_virtual_dataset(PLACE, project)


def link_of_a_group(file, secret):
    del file["layers/dense"]
    file["layers/dense"] = h5py.ExternalLink(str(secret), "/")


KINDS = [
    (external_link, PLACE),
    (soft_link, PLACE),
    (soft_link_through_another, "other"),
    (external_data, PLACE),
    (virtual_data, PLACE),
    (link_of_a_group, "layers/dense"),
]


@pytest.mark.parametrize(("refer", "name"), KINDS)
def test_reference_to_another_file_is_an_error(model, path, secret, monkeypatch, refer, name):
    with h5py.File(path, "a") as file:
        del file[PLACE]
        refer(file, secret)
    before = [weight.numpy() for weight in model.variables]
    monkeypatch.setattr(model, "load_weights", lambda path: pytest.fail("loaded"))
    with pytest.raises(weights.LinkedWeightsError) as caught:
        weights.load_weights(model, path)
    assert (caught.value.path, caught.value.name) == (path, f"/{name}")
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_groups_that_contain_each_other_are_visited_once(model, path):
    with h5py.File(path, "a") as file:
        file["layers/again"] = file["layers"]
        file["layers/root"] = file["/"]
    weights.check_links(path)


def test_weights_equal_those_that_were_saved(model, path):
    other = dense_model()
    weights.load_weights(other, path)
    for weight, expected in zip(other.variables, model.variables, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_corrupt_weights_are_an_error(model, path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(whole), 40)  # nearly all of the file is metadata
    for place in places:
        content = bytearray(whole)
        content[place : place + 8] = rng.bytes(8)
        path.write_bytes(content)
        try:
            weights.load_weights(model, path)
        except UserError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("content", [b"", b"cos\nsystem\n(S'false'\ntR.", b"\x89HDF\r\n\x1a\n"])
def test_other_file_is_an_error(model, path, content):
    path.write_bytes(content)
    with pytest.raises(weights.WeightsError) as caught:
        weights.load_weights(model, path)
    assert caught.value.path == path


def test_folder_in_place_of_weights_is_an_error(model, path):
    path.unlink()
    path.mkdir()
    with pytest.raises(ForeignPathError):
        weights.load_weights(model, path)


def test_weights_of_another_network_are_an_error(path):
    with pytest.raises(weights.WeightsError) as caught:
        weights.load_weights(dense_model(11), path)
    assert caught.value.path == path
