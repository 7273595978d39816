"""Trainings that need more memory than there is."""

import types

import psutil
import pytest

from kaggle_cifar.training import loop
from kaggle_cifar.training.memory import NotEnoughMemoryError
from kaggle_cifar.training.train import train
from tests.helpers.processes import run_command
from tests.helpers.small_data import small_airbench
from tests.training.conftest import OPTIONS


def test_batch_that_cannot_fit_leaves_no_run(project, monkeypatch):
    little = types.SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(NotEnoughMemoryError, match=r"about .* GiB.*--set batch_size=") as caught:
        train(project, small_airbench(), "large", OPTIONS)
    assert caught.value.batch_size == 10
    assert not (project.runs / "large").exists()


@pytest.mark.parametrize("place", ["__init__", "run_epochs"])
@pytest.mark.parametrize("error", ["of TensorFlow", "of Python"])
def test_exhausted_memory_is_explained(project, monkeypatch, place, error):
    import tensorflow as tf

    def run_out(*args, **kwargs):
        if error == "of Python":
            raise MemoryError
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(loop.Training, place, run_out)
    with pytest.raises(NotEnoughMemoryError) as caught:
        train(project, small_airbench(), "exhausted", OPTIONS)
    assert caught.value.batch_size == 10


def test_other_errors_print_nothing_of_tensorflow(tmp_path):
    done = run_command("--data-dir", tmp_path / "none", "--runs-dir", tmp_path / "runs", "train")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ") and str(tmp_path / "none") in line
