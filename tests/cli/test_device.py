"""A GPU that TensorFlow cannot use stops a training; --device cpu continues without it."""

import sys

import pytest

from tests.helpers.nvidia import write_nvidia_smi
from tests.helpers.processes import run_command
from tests.helpers.small_data import project_in, write_test_data, write_training_data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is a shell script"),
]


@pytest.fixture
def run_with_gpu(tmp_path, monkeypatch):
    """Return a function that runs a command where the driver lists a GPU without CUDA."""
    project = project_in(tmp_path)
    write_training_data(project, 60)
    write_test_data(project, range(1, 21))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = write_nvidia_smi(tmp_path / "driver", "Tesla T4, 550.54.14")

    def run(*arguments):
        folders = ["--data-dir", project.data, "--runs-dir", project.runs]
        folders += ["--submissions-dir", project.submissions]
        return run_command(*folders, *arguments, PATH=path, HOME=str(tmp_path))

    return run


def test_unusable_gpu_stops_until_the_cpu_is_chosen(run_with_gpu, tmp_path):
    train = ("train", "model1", "--epochs", 1)
    refused = run_with_gpu(*train)
    assert refused.returncode == 1
    assert "Error: TensorFlow cannot use Tesla T4" in refused.stderr
    assert 'pip install "kaggle-cifar[gpu]"' in refused.stderr
    assert "Could not find cuda drivers" in refused.stderr  # what TensorFlow said
    assert not (tmp_path / "runs" / "model1" / "run.json").exists()

    trained = run_with_gpu(*train, "--device", "cpu")
    assert (trained.returncode, trained.stderr) == (0, "")
    assert "Training model1 on the CPU (" in trained.stdout
    assert " in float32, without XLA (" in trained.stdout

    refused = run_with_gpu("predict", "model1")
    assert refused.returncode == 1
    assert "--device cpu" in refused.stderr
    predicted = run_with_gpu("predict", "model1", "--device", "cpu")
    assert predicted.returncode == 0
    assert "Predicting with model1 on the CPU (" in predicted.stdout
