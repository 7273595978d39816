"""The GPUs that a training uses, and machines whose GPUs TensorFlow cannot use."""

import pytest

from kaggle_cifar.devices import gpus
from kaggle_cifar.devices.drivers import NvidiaDriver
from kaggle_cifar.devices.faults import TpuSessionError, UnusableGpuError
from kaggle_cifar.devices.gpus import gpu_names, require_usable_devices, training_strategy
from kaggle_cifar.devices.probe import Probe

T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}


@pytest.mark.parametrize(
    ("count", "batch_size", "used"),
    [(1, 1024, 1), (2, 64, 1), (2, 511, 1), (2, 512, 2), (4, 1024, 4), (4, 600, 2), (0, 1024, 1)],
)
def test_each_gpu_gets_256_images_or_trains_alone(monkeypatch, show_gpus, count, batch_size, used):
    import tensorflow as tf

    show_gpus(*[T4] * count)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: devices)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: ["one"])
    assert len(training_strategy(batch_size)) == used


def test_plugin_without_names_is_still_named(monkeypatch, show_gpus):
    show_gpus({})
    monkeypatch.setattr(gpus, "has_apple_gpu", lambda: True)
    assert gpu_names() == ["Apple GPU (Metal)"]


def test_machine_without_accelerators_is_usable(monkeypatch):
    monkeypatch.setattr(gpus, "nvidia_driver", lambda: None)
    require_usable_devices()


def test_gpu_of_the_driver_that_tensorflow_lacks_raises(monkeypatch, capsys):
    said = "Cannot dlopen some GPU libraries."
    monkeypatch.setattr(gpus, "nvidia_driver", lambda: NvidiaDriver(("Tesla T4",), "550.54.14"))
    monkeypatch.setattr(gpus, "check_in_child", lambda: Probe([], True, "12.5.1", said=said))
    with pytest.raises(UnusableGpuError) as caught:
        require_usable_devices()
    assert caught.value.gpus == ["Tesla T4"]
    assert "--device cpu" in str(caught.value)
    assert said in capsys.readouterr().err


def test_hidden_gpus_are_not_asked_about(monkeypatch):
    monkeypatch.setattr(gpus, "nvidia_driver", None)
    monkeypatch.setenv("TPU_NAME", "a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    require_usable_devices()


def test_tpu_session_is_refused(monkeypatch):
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5e-1")
    with pytest.raises(TpuSessionError, match="T4"):
        require_usable_devices()


@pytest.mark.parametrize("fault", ["", "InternalError: CUDA_ERROR_INVALID_HANDLE"])
def test_gpu_whose_operations_fail_raises(monkeypatch, show_gpus, fault):
    show_gpus(T4)
    monkeypatch.setattr(gpus, "probe_gpus", lambda: Probe(["Tesla T4"], operations_fault=fault))
    if not fault:
        require_usable_devices()
        return
    with pytest.raises(UnusableGpuError) as caught:
        require_usable_devices()
    assert fault in caught.value.cause
