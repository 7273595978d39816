"""The backend, the settings and the precision of Keras."""

import os
import subprocess
import sys
from importlib import metadata

import pytest

from kaggle_cifar import __version__, models, tensorflow_setup
from kaggle_cifar.devices.gpus import GpuInUseError
from kaggle_cifar.tensorflow_setup import (
    BackendError,
    TensorFlowStartError,
    choose_backend,
    describe_devices,
    describe_environment,
    dtype_policy,
    library_versions,
    start_tensorflow,
)
from tests.helpers.small_data import write_test_data, write_training_data

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
    show_gpus(monkeypatch, [{"compute_capability": capability} for capability in capabilities])
    monkeypatch.setattr(tensorflow_setup, "_processor_fact", lambda _: flags)
    assert dtype_policy(precision) == policy


def show_gpus(monkeypatch, details):
    """Let TensorFlow seem to have GPUs, given by their details."""
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: list(details))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu)


@pytest.mark.parametrize("is_started", [False, True])
def test_gpus_allocate_memory_as_needed(monkeypatch, is_started):
    import tensorflow as tf

    grown = []

    def grow(gpu, on):
        if is_started:  # by the user's own code
            raise RuntimeError("Physical devices cannot be modified after being initialized")
        grown.append((gpu["device_name"], on))

    show_gpus(monkeypatch, [{"device_name": "T4"}, {"device_name": "L4"}])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", grow)
    start_tensorflow()
    assert grown == ([] if is_started else [("T4", True), ("L4", True)])


def test_gpu_in_use_cannot_be_hidden(monkeypatch):
    import tensorflow as tf

    def refuse(*_):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    start_tensorflow()  # without a GPU there is nothing to hide
    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(GpuInUseError):
        start_tensorflow()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("libcudart.so.12: cannot open shared object file"), "libcudart.so.12"),
        (OSError("dlopen(libmetal_plugin.dylib): Symbol not found"), "uninstall tensorflow-metal"),
    ],
)
def test_tensorflow_that_cannot_start_is_explained(monkeypatch, error, words):
    def fail():
        raise error

    monkeypatch.setattr(tensorflow_setup, "_configure", fail)
    with pytest.raises(TensorFlowStartError, match=words):
        start_tensorflow()


@pytest.mark.parametrize(
    ("details", "used", "words"),
    [
        ([{"device_name": "T4"}] * 2, 2, "T4, T4"),
        ([{"device_name": "T4"}] * 2, 1, "T4 (1 of 2 GPUs)"),
        ([], 1, "the CPU (Xeon, "),
    ],
)
def test_devices_are_described_by_name(monkeypatch, details, used, words):
    show_gpus(monkeypatch, details)
    monkeypatch.setattr(tensorflow_setup, "_processor_fact", lambda _: "Xeon")
    assert describe_devices(used).startswith(words)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpus_are_hidden", "GPUs are hidden"),
        ("has_apple_gpu", "tensorflow-metal"),
        ("has_amd_gpu", "tensorflow-rocm"),
    ],
)
def test_cpu_is_described_with_the_gpu_that_is_not_used(monkeypatch, name, words):
    show_gpus(monkeypatch, [])
    for function in ("gpus_are_hidden", "has_apple_gpu", "has_amd_gpu"):
        monkeypatch.setattr(tensorflow_setup, function, lambda is_this=function == name: is_this)
    assert words in describe_devices()


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
def test_library_versions_are_those_of_the_modules():
    import keras
    import tensorflow as tf

    found = library_versions()
    assert (found["tensorflow"], found["keras"]) == (tf.__version__, keras.__version__)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_import_that_fails_has_its_reason(monkeypatch, script, reason):
    monkeypatch.setattr(tensorflow_setup, "PRINT_VERSIONS", script)
    with pytest.raises(TensorFlowStartError) as caught:
        library_versions()
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("python", "advice"), [((3, 13), "install TensorFlow again"), ((3, 15), "Python 3.11 to 3.13")]
)
def test_missing_tensorflow_advice_depends_on_python(monkeypatch, python, advice):
    monkeypatch.setattr(tensorflow_setup.sys, "version_info", python)
    assert advice in str(TensorFlowStartError("it is not installed"))


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
    write_test_data(project, range(1, 4))
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
    assert done.stderr.splitlines()[-1].startswith("Error: TensorFlow cannot start (")
    assert "Traceback" not in done.stderr
    assert not list(project.runs.glob("*/run.json"))


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
