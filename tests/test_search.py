"""The search of the student project: its very draw, resumed, shown, its winner a recipe."""

import pandas as pd
import pytest
from PIL import Image
from small_data import layout_in, write_training_data

from kaggle_cifar import search, spaces, training, tuning
from kaggle_cifar.cluster import Cluster
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.runs import Run, RunOptions, newest_finished_run
from kaggle_cifar.storage import write_json

SETTINGS = [
    {"batch_size": 50, "epochs": 1, "learning_rate": 0.01, "optimizer": "rmsprop"},
    {"batch_size": 50, "epochs": 2, "learning_rate": 0.001, "optimizer": "adam"},
]


def test_the_draw_is_the_student_projects():
    drawn = [tuple(setting.values()) for setting in spaces.draw_from_grid(5)]
    assert drawn == [
        (32, 10, 0.01, "rmsprop"),
        (32, 10, 0.001, "adam"),
        (64, 10, 0.01, "rmsprop"),
        (32, 20, 0.001, "adam"),
        (64, 20, 0.01, "rmsprop"),
    ]
    assert len({tuple(setting.values()) for setting in spaces.draw_from_grid(16)}) == 16


def test_trials_have_no_callbacks_and_legacy_rmsprop():
    recipe = spaces.grid_recipe(SETTINGS[0])
    assert (recipe.optimizer, recipe.decay) == ("legacy-rmsprop", 1e-6)
    assert (recipe.early_stopping, recipe.plateau, recipe.exponential_decay) == (None, None, None)
    assert (recipe.network, recipe.batch_size, recipe.learning_rate) == ("model3", 50, 0.01)
    assert spaces.grid_recipe(SETTINGS[1]).decay == 0


@pytest.fixture
def layout(tmp_path, monkeypatch):
    layout = layout_in(tmp_path)
    write_training_data(layout, 40)
    monkeypatch.setattr(spaces, "draw_from_grid", lambda trials: SETTINGS[:trials])
    monkeypatch.setattr(search, "find_spec", lambda name: None)  # neither Ray nor Optuna
    return layout


def search_in_turn(layout, trials) -> Run:
    draw = spaces.Draw(trials)
    return search.search(layout, "search", draw, "grid-draw", trials, RunOptions(), Cluster())


def test_a_killed_search_goes_on_and_ends_with_a_recipe(layout, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    finish = training.Training.finish

    def killing(self):
        if self.run.name == "search-trial2":
            raise Killed
        finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(training.Training, "finish", killing)
        with pytest.raises(Killed):
            search_in_turn(layout, 2)
    first = Run(layout.runs / "search-trial1")
    trained_at = first.metrics_file.stat().st_mtime_ns
    best = search_in_turn(layout, 2)
    assert first.metrics_file.stat().st_mtime_ns == trained_at

    folder = layout.runs / "search"
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
        newest_finished_run(layout)  # a trial is not what one predicts with by default


@pytest.mark.parametrize("file", ["results.csv", "recipe.json", "search.json", "tune/mine.txt"])
def test_a_folder_that_is_no_search_is_refused(layout, file):
    path = layout.runs / "search" / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(ForeignPathError) as caught:
        search_in_turn(layout, 1)
    assert caught.value.path == layout.runs / "search"
    assert path.read_text() == "{}"
    assert not (layout.runs / "search-trial1").exists()


def test_a_search_with_other_options_is_refused(layout):
    search_in_turn(layout, 1)
    with pytest.raises(UserError, match=r"search\.json"):
        search_in_turn(layout, 2)


@pytest.mark.parametrize(
    "content",
    [[], {"trial": {}}, {"s-trial1": 3}, {"s-trial1": {"config": {}}}, {"trial1": {"ended": 1}}],
)
def test_a_damaged_journal_is_named(tmp_path, content):
    write_json(tmp_path / "trials.json", content)
    with pytest.raises(UserError, match=r"trials\.json"):
        tuning.read_journal(tmp_path / "trials.json")
