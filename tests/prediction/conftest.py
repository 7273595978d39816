"""Runs that were never trained, and networks that need no TensorFlow."""

import dataclasses
import shutil

import numpy as np
import pytest

from kaggle_cifar import models, recipes
from kaggle_cifar.prediction import predict
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.helpers.small_runs import write_run

SMALL_NETWORKS = {"airbench": {"widths": [8, 8, 8]}, "wide_resnet": {"depth": 10, "width": 1}}


def small_network(recipe):
    """Return a recipe with a small network of the same kind."""
    options = {**recipe.network_options, **SMALL_NETWORKS.get(recipe.network, {})}
    return dataclasses.replace(recipe, network_options=options)


def write_untrained_run(project, recipe, name=None, seed=0, **options) -> Run:
    """Write a finished run with the random weights of a new network."""
    import keras

    run = write_run(project, name or recipe.name, recipe=recipe, seed=seed, **options)
    keras.utils.set_random_seed(seed)
    models.build(recipe.network, recipe.network_options).save_weights(run.weights_file)
    return run


def fake_probabilities(pixels, shift=0):
    """Return float32 (n, 10) of sum 1 that identify each image."""
    values = np.roll(pixels[:, :10, 0, 0], shift, axis=1) + np.float32(1)
    return values / values.sum(axis=1, keepdims=True)


def replace_networks(patch):
    """Give each run a network that depends on its weights and views; return the views asked for."""
    asked = []

    def load_forward(run, views):
        asked.append(views)
        shift = shift_of(run) + (views == "augmented")
        return lambda pixels: fake_probabilities(pixels, shift)

    patch.setattr(predict, "load_forward", load_forward)
    return asked


@pytest.fixture
def fake_networks(monkeypatch):
    """Networks that need no TensorFlow; the list of the views asked for."""
    return replace_networks(monkeypatch)


def copy_project(project, runs, folder):
    """Copy a project with its runs to a folder that a test may change; return both."""
    shutil.copytree(project.data.parent, folder)
    copy = project_in(folder)
    return copy, [Run(copy.runs / run.name) for run in runs]


def write_two_runs(folder, recipe, test_ids, images):
    """Write training and test images and two runs; return project, runs and test pixels by id."""
    project = project_in(folder)
    write_training_data(project, images)
    pixels = write_test_data(project, test_ids)
    runs = [write_untrained_run(project, recipe, f"run{i}", seed=i) for i in (0, 1)]
    assert shift_of(runs[0]) != shift_of(runs[1])
    return project, runs, dict(zip(test_ids, pixels, strict=True))


def shift_of(run):
    return int(run.weights_sha256(), 16) % 10


@pytest.fixture(scope="session")
def small_recipe():
    return dataclasses.replace(small_network(recipes.airbench94()), name="small")
