"""What the drivers list, from stand-ins for nvidia-smi and the kernel's folders."""

import os
import sys

import pytest

from kaggle_cifar.devices import drivers
from kaggle_cifar.devices.drivers import NvidiaDriver, has_amd_gpu, nvidia_driver
from tests.helpers.nvidia import write_driver_folder, write_nvidia_smi

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """A folder that does not exist, on a machine without nvidia-smi."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "proc"


def test_nvidia_smi_lists_gpus_and_the_version(tmp_path, monkeypatch, nothing):
    lines = "NVIDIA GeForce RTX 4090, 550.54.14\nTesla T4, 550.54.14"
    monkeypatch.setenv("PATH", write_nvidia_smi(tmp_path / "bin", lines) + ":/bin:/usr/bin")
    expected = NvidiaDriver(("NVIDIA GeForce RTX 4090", "Tesla T4"), "550.54.14")
    assert nvidia_driver(nothing) == expected


def test_machine_without_a_driver_has_none(nothing):
    assert nvidia_driver(nothing) is None


def test_nvidia_smi_without_a_gpu_is_no_driver(tmp_path, monkeypatch, nothing):
    lines = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    monkeypatch.setenv("PATH", write_nvidia_smi(tmp_path / "bin", lines, 9) + ":/bin:/usr/bin")
    assert nvidia_driver(nothing) is None


@pytest.mark.parametrize("flavor", ["x86_64 Kernel Module", "Open Kernel Module for x86_64"])
def test_kernel_module_lists_gpus_without_nvidia_smi(nothing, flavor):
    write_driver_folder(nothing, ["Tesla T4", "Tesla T4"], "535.104.05", flavor)
    expected = NvidiaDriver(("Tesla T4", "Tesla T4"), "535.104.05", has_tools=False)
    assert nvidia_driver(nothing) == expected


def test_failing_nvidia_smi_is_a_fault_of_the_driver(tmp_path, monkeypatch, nothing):
    write_driver_folder(nothing, ["Tesla T4"], "535.104.05")
    lines = "Failed to initialize NVML: Driver/library version mismatch"
    monkeypatch.setenv("PATH", write_nvidia_smi(tmp_path / "bin", lines, 18) + ":/bin:/usr/bin")
    assert nvidia_driver(nothing) == NvidiaDriver(("Tesla T4",), "535.104.05", fault=lines)


@pytest.mark.parametrize(
    ("properties", "expected"), [("simd_count 0", False), ("simd_count 64", True)]
)
def test_amd_gpu_has_simd_units(tmp_path, properties, expected):
    node = tmp_path / "1"
    node.mkdir()
    (node / "properties").write_text(f"cpu_cores_count 8\n{properties}\n")
    assert has_amd_gpu(tmp_path) == expected
    assert not has_amd_gpu(tmp_path / "missing")


def test_empty_variable_is_no_tpu_session(monkeypatch):
    monkeypatch.setenv("COLAB_TPU_1VM", "")
    assert not drivers.is_tpu_session()
    monkeypatch.setenv("COLAB_TPU_1VM", "1")
    assert drivers.is_tpu_session()


@pytest.mark.parametrize(
    ("value", "hidden"), [(None, False), ("0", False), ("-1", True), ("", True), ("0,1", False)]
)
def test_variable_of_cuda_hides_gpus(monkeypatch, value, hidden):
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert drivers.gpus_are_hidden() == hidden


def test_hidden_gpus_stay_hidden_from_children(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    drivers.hide_gpus()
    assert drivers.gpus_are_hidden()
    assert {os.environ[name] for name in drivers.HIDING_VARIABLES} == {"-1"}
