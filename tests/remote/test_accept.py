"""Checking a downloaded run before it gets its place."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kaggle_cifar.competition import SAMPLE_SUBMISSION
from kaggle_cifar.remote import accept
from kaggle_cifar.training.run import Run
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.remote.kaggle_runs import leave_run, train


def change_json(file: Path, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def change_seed(folder: Path) -> None:
    change_json(folder / "run.json", lambda content: content["options"].update(seed=4))


def lose_a_row(folder: Path) -> None:
    np.save(folder / "test_probabilities.npy", np.load(folder / "test_probabilities.npy")[1:])


def halve_probabilities(folder: Path) -> None:
    rows = np.load(folder / "test_probabilities.npy")
    rows["probabilities"] /= 2
    np.save(folder / "test_probabilities.npy", rows)


def change_digest(folder: Path) -> None:
    file = folder / "test_probabilities.json"
    change_json(file, lambda content: content.update(weights_sha256="0" * 64))


def duplicate_an_id(folder: Path) -> None:
    rows = np.load(folder / "validation_probabilities.npy")
    rows["id"][1] = rows["id"][0]
    np.save(folder / "validation_probabilities.npy", rows)


def corrupt_weights(folder: Path) -> None:
    (folder / "model.weights.h5").write_bytes(b"no weights")


def remove_result(folder: Path) -> None:
    (folder / "metrics.json").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_seed, "seed"),
        (lose_a_row, "found 109"),
        (halve_probabilities, "test_probabilities.npy"),
        (change_digest, "other weights"),
        (duplicate_an_id, "validation images"),
        (corrupt_weights, "model.weights.h5"),
        (remove_result, "not finished"),
    ],
)
def test_changed_run_is_rejected(played, project, local, tmp_path, change, words):
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    shutil.copytree(local[1].folder, tmp_path / "changed" / "model1")
    change(tmp_path / "changed" / "model1")

    def leave_changed(host: KernelHost, session: Kernel) -> None:
        leave_run(Run(tmp_path / "changed" / "model1"), session)
        session.end()

    played.kernels.run = leave_changed
    with pytest.raises(accept.RejectedRunError, match=words):
        train(project, predict=True)
    assert not (project.runs / "model1").exists()


def test_run_without_the_predictions_with_tta_is_rejected(played, project, local):
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    with pytest.raises(accept.RejectedRunError, match=r"test_probabilities-tta\.npy"):
        train(project, predict=True, tta=True)
    assert not (project.runs / "model1").exists()
