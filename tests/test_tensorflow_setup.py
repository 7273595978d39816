"""The backend of Keras: this program chooses it, and says so."""

import os
import subprocess
import sys

import pytest

from kaggle_cifar import models
from kaggle_cifar.tensorflow_setup import BackendError, start_tensorflow

START = """
from kaggle_cifar.tensorflow_setup import start_tensorflow
start_tensorflow()
import keras
print(keras.backend.backend())
"""


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("backend", ["jax", "numpy", "nonsense", "tensorflow"])
def test_keras_uses_tensorflow_whatever_the_environment_says(backend):
    output, errors = run(START, KERAS_BACKEND=backend)
    assert output == ["tensorflow"]
    assert errors.count(f"KERAS_BACKEND is {backend!r}") == (backend != "tensorflow")
    assert len(errors.splitlines()) <= 1


def test_keras_configuration_does_not_choose_the_backend(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    environment = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    assert run(START, **environment)[0] == ["tensorflow"]


@pytest.mark.parametrize("use", [start_tensorflow, lambda: models.build("model1", {})])
def test_keras_with_another_backend_is_a_sentence(monkeypatch, use):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(BackendError) as caught:
        use()
    assert caught.value.backend == "jax"


SETTINGS = """
from kaggle_cifar.tensorflow_setup import start_tensorflow
start_tensorflow()
from keras import config
print(config.image_data_format(), config.floatx(), config.epsilon(), config.dtype_policy().name)
"""


def test_keras_configuration_changes_no_shapes_and_numbers(tmp_path):
    shared = '{"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}'
    (tmp_path / "keras.json").write_text(shared)
    output, _ = run(SETTINGS, KERAS_HOME=str(tmp_path))
    assert output == ["channels_last", "float32", "1e-07", "float32"]
