"""How the tests train on Kaggle, what a session leaves, and when two runs are the same."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kaggle_cifar import recipes
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.remote import worker
from kaggle_cifar.remote.accelerators import DEFAULT_ACCELERATOR
from kaggle_cifar.remote.train import train_on_kaggle
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.clocks import Clock
from tests.helpers.kaggle_kernels import Kernel

RECIPE = dataclasses.replace(recipes.model1(), epochs=4)
OPTIONS = RunOptions(seed=3)

needs_7z = pytest.mark.skipif(not shutil.which("7z"), reason="needs 7z, as Kaggle's image has it")


def train(project: ProjectPaths, recipe=RECIPE, options=OPTIONS, **changes) -> Run:
    clock = Clock()
    arguments = {"accelerator": DEFAULT_ACCELERATOR, **changes}
    return train_on_kaggle(
        project, recipe, "model1", options, **arguments, sleep=clock.sleep, clock=clock
    )


def leave_run(run: Run, session: Kernel, state: str = "finished") -> None:
    """Let a session leave a copy of `run` as its output."""
    files = [path for path in run.folder.rglob("[!.]*") if path.is_file()]
    session.files = {f"model1/{p.relative_to(run.folder)}": p.read_bytes() for p in files}
    listing = {"state": state, "files": worker.run_digests(run.folder.parent, "model1")}
    session.files[worker.LISTING] = json.dumps(listing).encode()


def assert_weights_equal(run: Run, other: Run) -> None:
    assert run.weights_sha256() == other.weights_sha256()


def assert_same(run: Run, other: Run) -> None:
    """Assert that two runs are the same except for their times and machines."""
    files = [{p.relative_to(r.folder) for p in r.folder.rglob("*")} for r in (run, other)]
    hidden = {Path("remote.json"), Path(".kaggle-cifar.lock")}
    assert files[0] - hidden == files[1] - hidden
    a, b = (r.load_model().get_weights() for r in (run, other))
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)
    for name in run.folder.glob("*.npy"):
        rows, others = read_probabilities(name), read_probabilities(other.folder / name.name)
        np.testing.assert_array_equal(rows, others)
    assert run.read_recipe() == other.read_recipe()
    for left, right in zip(run.read_history(), other.read_history(), strict=True):
        assert {**left, "seconds": 0} == {**right, "seconds": 0}
    assert {**run.read_metrics(), "seconds": 0} == {**other.read_metrics(), "seconds": 0}
