"""A small competition, and a run of the small airbench recipe."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training import checkpoint, loop
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train
from tests.helpers.simulated_kills import Killed, kill_at
from tests.helpers.small_data import project_in, small_airbench, write_training_data

IMAGES = 60  # 48 to train on
OPTIONS = RunOptions(seed=3)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> ProjectPaths:
    project = project_in(tmp_path_factory.mktemp("training"))
    write_training_data(project, IMAGES)
    return project


@pytest.fixture(scope="module")
def finished(project: ProjectPaths) -> Run:
    """The run of a schedule, Lookahead, augmentation and a bias that is frozen midway."""
    return train(project, small_airbench(), "finished", OPTIONS)


@pytest.fixture
def train_through_kills(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Recipe, str, Sequence[int]], Run]:
    """Return a function that trains a run to its end; each start but the last is killed.

    Each step and each epoch is saved. The numbers say while which saving of a start the kill comes.
    """

    def training(recipe: Recipe, name: str, savings: Sequence[int]) -> Run:
        monkeypatch.setattr(loop, "LOOK_INTERVAL", 0)
        monkeypatch.setattr(checkpoint, "INTERVAL", 0)
        for number in savings:
            with monkeypatch.context() as patch:
                kill_at(patch, np, "savez", number)
                with pytest.raises(Killed):
                    train(project, recipe, name, OPTIONS)
        return train(project, recipe, name, OPTIONS)

    return training


@pytest.fixture
def train_and_kill(
    project: ProjectPaths, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Recipe, str], Run]:
    """Return a function that trains a run and kills it while it saves its second epoch."""

    def training(recipe: Recipe, name: str, **options: Any) -> Run:
        with monkeypatch.context() as patch:
            kill_at(patch, np, "savez", 2)
            with pytest.raises(Killed):
                train(project, recipe, name, RunOptions(**{"seed": 3, **options}))
        return Run(project.runs / name)

    return training
