"""The student project's search, trained in this process, killed and resumed."""

import dataclasses

import pandas as pd
import pytest
from PIL import Image

from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import search, search_space
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.search_space import Space
from kaggle_cifar.training import train as training
from kaggle_cifar.training.find_runs import newest_finished_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.simulated_kills import Killed
from tests.helpers.small_data import project_in, write_training_data

GRID = {"epochs": [1, 2], "learning_rate": [0.01, 0.001], "optimizer": ["adam", "legacy-rmsprop"]}
MODEL1 = find_recipe("model1")
OPTIONS = RunOptions()


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = project_in(tmp_path)
    write_training_data(project, 40)
    monkeypatch.setattr(search_space, "GRID", GRID)
    monkeypatch.setattr(search, "find_spec", lambda name: None)  # no Ray
    return project


def search_in_turn(project, trials) -> Run:
    space = Space(MODEL1, search_space.GRID, "a small grid")
    return search.search(
        project, "search", space, search_space.GRID_DRAW, trials, RunOptions(), Cluster()
    )


@pytest.mark.slow
@pytest.mark.kill
def test_killed_search_resumes_to_the_best_recipe(project, monkeypatch, capsys):
    def kill(trained):
        if trained.run.name == "search-trial2":
            raise Killed
        write_result(trained)

    write_result = training.write_result
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "write_result", kill)
        search_in_turn(project, 2)
    first = Run(project.runs / "search-trial1")
    trained_at = first.metrics_file.stat().st_mtime_ns
    best = search_in_turn(project, 2)
    assert first.metrics_file.stat().st_mtime_ns == trained_at

    folder = project.runs / "search"
    results = pd.read_csv(folder / "results.csv").to_dict("records")
    assert [row["run"] for row in results] == ["search-trial1", "search-trial2"]
    drawn = search_space.draw_from_grid(2)
    assert [{key: row[key] for key in GRID} for row in results] == drawn
    highest = max(results, key=lambda row: row["validation_accuracy"])
    assert best.name == highest["run"]
    assert find_recipe(str(folder / "best_recipe.json")) == best.read_recipe()[0]
    for figure in ("trials", "optimisation_history"):
        with Image.open(folder / "figures" / f"{figure}.png") as picture:
            assert picture.width > 800
    printed = capsys.readouterr().out
    assert "best_recipe.json" in printed
    assert "pip install 'kaggle-cifar[search]'" in printed
    with pytest.raises(UserError, match="no finished run"):
        newest_finished_run(project)  # a trial is not what one predicts with by default


@pytest.mark.parametrize("file", ["results.csv", "run.json", "search.json", "tune/mine.txt"])
def test_search_refuses_a_foreign_folder(project, file):
    path = project.runs / "search" / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ForeignPathError) as caught:
        search_in_turn(project, 1)
    assert caught.value.path == project.runs / "search"
    assert path.read_text() == "{}"
    assert not (project.runs / "search-trial1").exists()


@pytest.mark.parametrize(
    "changes",
    [{"sampler": "random"}, {"trials": 1}, {"options": RunOptions(seed=1)}, {"epochs": 3}],
)
def test_search_with_other_options_is_refused(tmp_path, changes):
    file = tmp_path / "search.json"

    def check(sampler="tpe", trials=2, options=OPTIONS, epochs=2):
        recipe = dataclasses.replace(MODEL1, epochs=epochs)
        space = Space(recipe, {"batch_size": [8, 16]}, "a space")
        search.check_search_options(file, space, sampler, trials, options)

    check()
    check()
    with pytest.raises(search.SearchExistsError) as caught:
        check(**changes)
    assert caught.value.path == file
    check(trials=3)
    assert search.read_saved_search(file).trials == 3


@pytest.mark.parametrize("content", ["{", "[]", '{"trials": 3}', '{"sampler": 1}'])
def test_damaged_search_options_are_named(tmp_path, content):
    file = tmp_path / "search.json"
    file.write_text(content)
    with pytest.raises(search.SearchFileError) as caught:
        search.read_saved_search(file)
    assert caught.value.path == file
