"""A network of the user's own, from the first epoch to an export."""

import dataclasses
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli
from kaggle_cifar.models import own_network
from kaggle_cifar.models.own_network import ChangedNetworkError, UntrustedNetworkError
from kaggle_cifar.prediction.classify import classify
from kaggle_cifar.prediction.export import export
from kaggle_cifar.prediction.pictures import read_picture
from kaggle_cifar.prediction.predict import predict
from kaggle_cifar.recipes import find_recipe, model1
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.search import search
from kaggle_cifar.search.search_space import Space
from kaggle_cifar.training import train as training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers import ROOT
from tests.helpers.own_network import CODE, LINES, write_network
from tests.helpers.small_data import write_test_data, write_training_data

OPTIONS = RunOptions(seed=1)
PARAMETERS = 48 * 8 + 8 + 8 * 10 + 10


@pytest.fixture
def recipe_file(project, tmp_path, clean_home, monkeypatch):
    """A JSON recipe that names my_net.py beside it, and images to train on."""
    monkeypatch.setattr(own_network, "_allowed", set())
    write_training_data(project, 40)
    write_network(tmp_path)
    content = {**dataclasses.asdict(model1()), "name": "mine", "network": "my_net.py"}
    content.update(epochs=3, batch_size=10)
    (tmp_path / "mine.json").write_text(json.dumps(content))
    return str(tmp_path / "mine.json")


def start_training(project, recipe_file, name) -> Run:
    """Train a run for one epoch and interrupt it."""
    epochs = training.train_by_epochs(project, find_recipe(recipe_file), name, OPTIONS)
    next(epochs)
    epochs.close()
    return Run(project.runs / name)


@pytest.mark.slow
def test_own_network_trains_resumes_predicts_and_exports(
    project, recipe_file, tmp_path, capsys, monkeypatch
):
    write_test_data(project, range(1, 21))
    whole = training.train(project, find_recipe(recipe_file), "whole", OPTIONS)
    run = start_training(project, recipe_file, "resumed")

    file = write_network(tmp_path, CODE.replace("relu", "elu"))
    with pytest.raises(ChangedNetworkError) as caught:
        training.train(project, find_recipe(recipe_file), "resumed", OPTIONS)
    assert (caught.value.network, caught.value.path) == ("my_net.py", run.description_file)

    write_network(tmp_path)
    training.train(project, find_recipe(recipe_file), "resumed", OPTIONS)
    model = run.load_model()
    assert model.count_params() == PARAMETERS
    for left, right in zip(whole.load_model().get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)

    file.unlink()  # the run keeps the code
    assert json.loads(run.description_file.read_text())["recipe"]["network_source"] == LINES
    ids, probabilities = predict(project, [run])
    assert list(ids) == list(range(1, 21))
    [result] = classify(run, [read_picture(project.images("test") / "1.png")])
    np.testing.assert_allclose(result.probabilities, probabilities[0], atol=1e-5)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "tf2onnx", None)  # without ONNX, which takes long
        export(project, run, tmp_path / "export")
    assert (tmp_path / "export" / "saved_model").is_dir()
    assert "resumed uses its copy of my_net.py" in capsys.readouterr().err


@pytest.mark.slow
def test_run_from_elsewhere_is_not_executed(project, recipe_file, monkeypatch, clean_home):
    write_test_data(project, range(1, 21))
    run = training.train(project, find_recipe(recipe_file), "theirs", OPTIONS)
    monkeypatch.setattr(own_network, "_allowed", set())
    for note in own_network.notes_folder().iterdir():
        note.unlink()
    monkeypatch.setattr("kaggle_cifar.models.registry.execute", lambda *_: pytest.fail("executed"))
    for use in (
        run.load_model,
        lambda: predict(project, [run]),
        lambda: classify(run, [read_picture(project.images("test") / "1.png")]),
        lambda: find_recipe(str(run.description_file)),
    ):
        with pytest.raises(UntrustedNetworkError) as caught:
            use()
        assert caught.value.path == run.description_file


def test_search_space_keeps_an_own_network(recipe_file):
    recipe = find_recipe(recipe_file)
    space = Space(recipe, {"network_options.units": [4, 8]}, "space")
    trial = space.apply({"network_options.units": 4}, "trial1")
    assert (trial.network_source, trial.network_options) == (LINES, {"units": 4})


@pytest.mark.slow
@pytest.mark.ray
def test_own_network_is_searched_in_other_processes(project, recipe_file, tmp_path):
    recipe = dataclasses.replace(find_recipe(recipe_file), epochs=1)
    (tmp_path / "my_net.py").unlink()  # each trial has the code in its recipe
    space = Space(recipe, {"learning_rate": [0.001, 0.01]}, "space")
    best = search(project, "search", space, "random", 1, OPTIONS, Cluster(cpus=1))
    assert best.load_model().count_params() == PARAMETERS
    best_recipe = project.runs / "search" / "best_recipe.json"
    assert find_recipe(str(best_recipe)).network_source == LINES


@pytest.mark.slow
def test_documented_network_trains_from_the_command_line(
    project, recipe_file, tmp_path, monkeypatch
):
    page = (ROOT / "docs" / "own-recipe.md").read_text()
    code = page[page.index('    """A perceptron') : page.index("Then name the file")]
    write_network(tmp_path, code.replace("\n    ", "\n").removeprefix("    "))
    monkeypatch.chdir(tmp_path)
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    command = ["train", "model1", "--set", "network=my_net.py", "--epochs", "1", "--name", "p"]
    result = CliRunner().invoke(cli.cli, [*folders, *command], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert Run(project.runs / "p").load_model().count_params() == (3072 + 1) * 100 + 101 * 10
