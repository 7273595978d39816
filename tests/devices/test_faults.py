"""The cause that a user reads for GPUs that TensorFlow does not find."""

import dataclasses

import pytest

from kaggle_cifar.devices import faults
from kaggle_cifar.devices.drivers import NvidiaDriver
from kaggle_cifar.devices.faults import cause_of_missing_gpus, is_too_old
from kaggle_cifar.devices.probe import Probe

DRIVER = NvidiaDriver(("Tesla T4",), "550.54.14")
FOUND = Probe(built_with_gpus=True, cuda="12.5.1", said="Cannot dlopen some GPU libraries.")


@pytest.fixture(autouse=True)
def on_linux(monkeypatch):
    monkeypatch.setattr(faults.platform, "system", lambda: "Linux")
    monkeypatch.setattr(faults, "is_container", lambda: False)


@pytest.mark.parametrize(
    ("driver", "found", "words"),
    [
        ({}, {}, 'pip install "kaggle-cifar[gpu]"'),
        ({}, {"built_with_gpus": False}, "tensorflow-cpu"),
        ({"version": "470.82.01"}, {}, "470.82.01 is too old for CUDA 12.5.1. Install version 525"),
        ({"has_tools": False}, {}, "the driver is incomplete"),
        ({"fault": "version mismatch"}, {}, "nvidia-smi fails (version mismatch)"),
        ({}, {"said": "CUDA_ERROR_UNKNOWN"}, "printed the reason above"),
        ({}, {"gpus": ["Tesla T4"]}, "Restart Python"),
    ],
)
def test_cause_names_what_is_wrong(driver, found, words):
    driver, found = dataclasses.replace(DRIVER, **driver), dataclasses.replace(FOUND, **found)
    assert words in cause_of_missing_gpus(driver, found)


def test_container_without_gpus_names_the_option(monkeypatch):
    monkeypatch.setattr(faults, "is_container", lambda: True)
    driver = dataclasses.replace(DRIVER, has_tools=False)
    assert "docker run --gpus all" in cause_of_missing_gpus(driver, FOUND)


def test_windows_names_wsl2(monkeypatch):
    monkeypatch.setattr(faults.platform, "system", lambda: "Windows")
    assert "WSL2" in cause_of_missing_gpus(DRIVER, FOUND)


def test_variable_that_names_no_gpu_is_the_cause(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert "CUDA_VISIBLE_DEVICES=7" in cause_of_missing_gpus(DRIVER, FOUND)


@pytest.mark.parametrize(
    ("driver", "cuda", "expected"),
    [
        ("525.60.13", "12.5.1", False),
        ("524.99", "12.5.1", True),
        ("575.1", "13.0", True),
        ("", "12.5", False),
        ("550.1", "", False),
        ("550.1", "99.0", False),
    ],
)
def test_driver_is_too_old_for_a_major_version(driver, cuda, expected):
    assert is_too_old(driver, cuda) == expected
