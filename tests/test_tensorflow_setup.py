"""The backend, the settings and the precision of Keras."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from kaggle_cifar import __version__, models, tensorflow_setup
from kaggle_cifar.tensorflow_setup import (
    BackendError,
    TensorFlowImportError,
    choose_backend,
    describe_environment,
    dtype_policy,
    inspect_tensorflow,
    native_information_discarded,
    start_tensorflow,
)
from tests.helpers.small_data import write_training_data

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
    import keras
    import numpy as np
    import tensorflow as tf

    def fail(name):
        raise metadata.PackageNotFoundError(name)  # as for keras-nightly and tensorflow-cpu

    monkeypatch.setattr(metadata, "version", fail)
    environment = describe_environment()
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    assert environment["packages"] == {"kaggle-cifar": __version__, **versions}
    assert environment["machine"]["cores"] == os.cpu_count()
    monkeypatch.setattr(tensorflow_setup.Path, "open", raise_missing)
    assert tensorflow_setup._processor_fact("model name") == ""


def raise_missing(*_, **__):
    raise FileNotFoundError


@pytest.mark.slow
def test_inspection_finds_the_modules_versions(monkeypatch):
    import keras
    import tensorflow as tf

    found = inspect_tensorflow()
    assert found.versions["tensorflow"] == tf.__version__
    assert found.versions["keras"] == keras.__version__
    assert found.gpus == len(tf.config.list_physical_devices("GPU"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_inspection_that_fails_has_its_reason(monkeypatch, script, reason):
    monkeypatch.setattr(tensorflow_setup, "INSPECT", script)
    with pytest.raises(TensorFlowImportError) as caught:
        inspect_tensorflow()
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("python", "advice"), [((3, 13), "pip install"), ((3, 15), "Python 3.11 to 3.13")]
)
def test_missing_tensorflow_advice_depends_on_python(monkeypatch, python, advice):
    monkeypatch.setattr(tensorflow_setup.sys, "version_info", python)
    assert advice in str(TensorFlowImportError("it is not installed"))


# A command line without TensorFlow, or with one whose libraries cannot be loaded.
WITHOUT_TENSORFLOW = """
import sys
state = sys.argv.pop(1)
if state == "missing":
    sys.modules["tensorflow"] = None
else:
    sys.path.insert(0, state)
from kaggle_cifar.__main__ import main
main()
"""


@pytest.mark.parametrize("state", ["missing", "broken"])
@pytest.mark.parametrize("command", [["train", "model1"], ["inspect"]])
def test_commands_without_tensorflow_say_so(tmp_path, project, state, command):
    write_training_data(project, 40)
    if state == "broken":
        state = str(tmp_path)
        (tmp_path / "tensorflow.py").write_text("raise ImportError('no library')")
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, state, *folders, *command],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: TensorFlow cannot be imported (")
    assert "Traceback" not in done.stderr
    assert not list(project.runs.glob("*/run.json"))


def test_native_errors_are_not_discarded(capfd):
    with native_information_discarded():
        for line in ("I0000 compiled", "WARNING: All log messages before absl::x", "E0000 failed"):
            os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == "E0000 failed\n"


XLA = """
from kaggle_cifar.tensorflow_setup import start_tensorflow
start_tensorflow()
import tensorflow as tf
from kaggle_cifar.models.layers import GELU
print(float(GELU()(tf.zeros(1))[0]))
"""


@pytest.mark.slow
def test_first_use_of_xla_prints_nothing():
    done = subprocess.run([sys.executable, "-c", XLA], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0.0\n", "")
