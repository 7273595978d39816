"""Several runs of one recipe: their seeds, their folds, and what is printed."""

import dataclasses
import statistics

import numpy as np
import pytest

from kaggle_cifar import recipes
from kaggle_cifar.data.dataset import SplitError
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.search import seeds_and_folds
from kaggle_cifar.training.options import RunOptions
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run

RECIPE = dataclasses.replace(recipes.model1(), epochs=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("seeds-and-folds"))
    write_training_data(project, 50)
    return project


def test_seeds_print_their_mean_and_spread(project, monkeypatch, capsys):
    def train(project, recipe, name, options, tensorboard):
        return write_run(project, name, seed=options.seed, recipe=recipe)

    monkeypatch.setattr(seeds_and_folds, "train", train)
    runs = seeds_and_folds.train_seeds(project, RECIPE, "model1", RunOptions(seed=7), 3)
    assert [run.name for run in runs] == ["model1-seed0", "model1-seed1", "model1-seed2"]
    assert [run.read_recipe()[1].seed for run in runs] == [0, 1, 2]
    accuracies = [run.read_validation_accuracy() for run in runs]
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    printed = capsys.readouterr().out
    assert f"model1, 3 seeds: mean validation accuracy {mean:.4f}" in printed
    assert f"standard deviation {spread:.4f}" in printed


@pytest.mark.slow
def test_folds_predict_each_image_by_a_run_without_it(project, capsys):
    runs = seeds_and_folds.train_folds(project, RECIPE, "model1", RunOptions(), 2)
    rows = read_probabilities(project.runs / "model1-2folds.npy")
    np.testing.assert_array_equal(rows["id"], np.arange(1, 51))
    for run in runs:
        own = read_probabilities(run.folder / "validation_probabilities.npy")
        kept = rows[np.isin(rows["id"], own["id"])]
        np.testing.assert_array_equal(kept["probabilities"], own["probabilities"])
        assert run.read_metrics()["train_images"] == 50 - len(own)
    accuracy = np.mean(rows["probabilities"].argmax(axis=1) == rows["id"] % 10)
    assert f"out-of-fold accuracy {accuracy:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "limit"), [(51, None), (5000, 20), (21, 20)])
def test_more_folds_than_images_are_refused(project, count, limit):
    with pytest.raises(SplitError) as caught:
        seeds_and_folds.train_folds(project, RECIPE, "too-many", RunOptions(limit=limit), count)
    assert caught.value.images == (limit or 50)
    assert not list(project.runs.glob("too-many*"))


def test_foreign_file_of_the_folds_name_is_refused(project):
    path = project.runs / "mine-2folds.npy"
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(UserError):
        seeds_and_folds.train_folds(project, RECIPE, "mine", RunOptions(), 2)
    assert path.read_text() == "mine"
    assert not (project.runs / "mine-fold1of2").exists()
