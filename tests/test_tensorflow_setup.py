"""The backend, the settings and the precision of Keras."""

import os
import subprocess
import sys

import pytest

from kaggle_cifar import models, tensorflow_setup
from kaggle_cifar.tensorflow_setup import (
    BackendError,
    choose_backend,
    describe_environment,
    dtype_policy,
    start_tensorflow,
)

START = """
from kaggle_cifar.tensorflow_setup import start_tensorflow
start_tensorflow()
import keras
from keras import config
print(keras.backend.backend())
print(config.image_data_format(), config.floatx(), config.epsilon(), config.dtype_policy().name)
"""
SHARED_SETTINGS = (
    '{"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}'
)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "lines"), [("jax", 1), ("", 0)])
def test_start_overrides_the_shared_settings(tmp_path, backend, lines):
    (tmp_path / "keras.json").write_text(SHARED_SETTINGS)
    done = subprocess.run(
        [sys.executable, "-c", START],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": backend},
    )
    assert done.stdout.split() == ["tensorflow", "channels_last", "float32", "1e-07", "float32"]
    assert len(done.stderr.splitlines()) == lines


@pytest.mark.parametrize("backend", ["numpy", "nonsense", "tensorflow", ""])
def test_choose_backend_overrides_the_environment(monkeypatch, capsys, backend):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    choose_backend()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    is_other = backend not in ("tensorflow", "")
    assert (f"KERAS_BACKEND is {backend!r}" in capsys.readouterr().err) == is_other


@pytest.mark.parametrize("use", [start_tensorflow, lambda: models.build("model1", {})])
def test_imported_backend_other_than_tensorflow_raises(monkeypatch, use):
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(BackendError) as caught:
        use()
    assert caught.value.backend == "jax"


def test_start_keeps_the_global_dtype_policy():
    from keras import config

    start_tensorflow()
    before = config.dtype_policy()
    config.set_dtype_policy("mixed_bfloat16")
    try:
        start_tensorflow()
        assert config.dtype_policy().name == "mixed_bfloat16"
        assert {layer.compute_dtype for layer in models.build("model1", {}).layers} == {"float32"}
    finally:
        config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("precision", "capabilities", "flags", "policy"),
    [
        ("never", [(8, 0)], "", "float32"),
        ("always", [], "", "mixed_bfloat16"),
        ("always", [(8, 0), (7, 0)], "", "mixed_float16"),
        ("where faster", [(8, 0)], "", "mixed_bfloat16"),
        ("where faster", [(7, 5)], "", "mixed_float16"),
        ("where faster", [(6, 1)], "", "float32"),
        ("where faster", [], "avx2", "float32"),
        ("where faster", [], "avx2 amx_bf16", "mixed_bfloat16"),
    ],
)
def test_dtype_policy_depends_on_the_device(monkeypatch, precision, capabilities, flags, policy):
    import tensorflow as tf

    details = [{"compute_capability": capability} for capability in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: details)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)
    monkeypatch.setattr(tensorflow_setup, "_processor_fact", lambda _: flags)
    assert dtype_policy(precision) == policy


def test_several_gpus_train_together(monkeypatch):
    import tensorflow as tf

    grown = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["GPU:0", "GPU:1"])
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on))
    )
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    assert start_tensorflow() == "mirrored"
    assert grown == [("GPU:0", True), ("GPU:1", True)]


def test_environment_lists_machine_and_versions(monkeypatch):
    environment = describe_environment()
    assert set(environment["packages"]) == {"kaggle-cifar", "tensorflow", "keras", "numpy"}
    assert environment["machine"]["cores"] == os.cpu_count()
    monkeypatch.setattr(tensorflow_setup.Path, "open", raise_missing)
    assert tensorflow_setup._processor_fact("model name") == ""


def raise_missing(*_, **__):
    raise FileNotFoundError
