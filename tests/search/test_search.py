"""The search of the student project: its very draw, resumed, shown, its winner a recipe."""

import pandas as pd
import pytest
from PIL import Image

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_json
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import ray_tune, search, search_space
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.training import train as training
from kaggle_cifar.training.find_runs import newest_finished_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_training_data

SETTINGS = [
    {"batch_size": 50, "epochs": 1, "learning_rate": 0.01, "optimizer": "rmsprop"},
    {"batch_size": 50, "epochs": 2, "learning_rate": 0.001, "optimizer": "adam"},
]


def test_the_draw_is_the_student_projects():
    drawn = [tuple(setting.values()) for setting in search_space.draw_from_grid(5)]
    assert drawn == [
        (32, 10, 0.01, "rmsprop"),
        (32, 10, 0.001, "adam"),
        (64, 10, 0.01, "rmsprop"),
        (32, 20, 0.001, "adam"),
        (64, 20, 0.01, "rmsprop"),
    ]
    assert len({tuple(setting.values()) for setting in search_space.draw_from_grid(16)}) == 16


def test_trials_have_no_callbacks_and_legacy_rmsprop():
    recipe = search_space.grid_recipe(SETTINGS[0])
    assert (recipe.optimizer, recipe.decay) == ("legacy-rmsprop", 1e-6)
    assert (recipe.early_stopping, recipe.plateau, recipe.exponential_decay) == (None, None, None)
    assert (recipe.network, recipe.batch_size, recipe.learning_rate) == ("model3", 50, 0.01)
    assert search_space.grid_recipe(SETTINGS[1]).decay == 0


@pytest.fixture
def project(tmp_path, monkeypatch):
    project = project_in(tmp_path)
    write_training_data(project, 40)
    monkeypatch.setattr(search_space, "draw_from_grid", lambda trials: SETTINGS[:trials])
    monkeypatch.setattr(search, "find_spec", lambda name: None)  # neither Ray nor Optuna
    return project


def search_in_turn(project, trials) -> Run:
    draw = search_space.Draw(trials)
    return search.search(project, "search", draw, "grid-draw", trials, RunOptions(), Cluster())


def test_a_killed_search_goes_on_and_ends_with_a_recipe(project, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    write_result = training.write_result

    def killing(trained):
        if trained.run.name == "search-trial2":
            raise Killed
        write_result(trained)

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_result", killing)
        with pytest.raises(Killed):
            search_in_turn(project, 2)
    first = Run(project.runs / "search-trial1")
    trained_at = first.metrics_file.stat().st_mtime_ns
    best = search_in_turn(project, 2)
    assert first.metrics_file.stat().st_mtime_ns == trained_at

    folder = project.runs / "search"
    results = pd.read_csv(folder / "results.csv").to_dict("records")
    assert [row["run"] for row in results] == ["search-trial1", "search-trial2"]
    highest = max(results, key=lambda row: row["validation_accuracy"])
    assert best.name == highest["run"]
    recipe = find_recipe(str(folder / "best_recipe.json"))
    assert recipe == best.read_recipe()[0]
    with Image.open(folder / "figures" / "trials.png") as picture:
        assert picture.width > 800
    printed = capsys.readouterr().out
    assert "best_recipe.json" in printed
    assert "pip install 'kaggle-cifar[search]'" in printed
    with Image.open(folder / "figures" / "optimisation_history.png") as picture:
        assert picture.width > 800
    with pytest.raises(UserError, match="no finished run"):
        newest_finished_run(project)  # a trial is not what one predicts with by default


@pytest.mark.parametrize("file", ["results.csv", "run.json", "search.json", "tune/mine.txt"])
def test_a_folder_that_is_no_search_is_refused(project, file):
    path = project.runs / "search" / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ForeignPathError) as caught:
        search_in_turn(project, 1)
    assert caught.value.path == project.runs / "search"
    assert path.read_text() == "{}"
    assert not (project.runs / "search-trial1").exists()


def test_a_search_with_other_options_is_refused(project):
    search_in_turn(project, 1)
    with pytest.raises(UserError, match=r"search\.json"):
        search_in_turn(project, 2)


@pytest.mark.parametrize(
    "content",
    [[], {"trial": {}}, {"s-trial1": 3}, {"s-trial1": {"config": {}}}, {"trial1": {"ended": 1}}],
)
def test_a_damaged_journal_is_named(tmp_path, content):
    write_json(tmp_path / "trials.json", content)
    with pytest.raises(UserError, match=r"trials\.json"):
        ray_tune.read_journal(tmp_path / "trials.json")


@pytest.mark.parametrize("name", ["best_recipe.json", "results.csv"])
def test_an_edited_result_is_kept(tmp_path, name):
    texts = {"best_recipe.json": "{}", "results.csv": "a"}
    search.write_results(tmp_path, "s", texts)
    search.write_results(tmp_path, "s", texts | {name: "another result"})
    (tmp_path / name).write_text("edited")
    with pytest.raises(ForeignPathError) as caught:
        search.write_results(tmp_path, "s", texts)
    assert caught.value.path == tmp_path / name
    assert (tmp_path / name).read_text() == "edited"
