"""The results of a search: files, figures and the best recipe."""

import pytest

from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import results
from kaggle_cifar.search.search_space import SPACES, Space
from tests.helpers.small_data import project_in

MODEL1 = find_recipe("model1")


@pytest.mark.parametrize("name", ["best_recipe.json", "results.csv"])
def test_edited_result_is_kept(tmp_path, name):
    texts = {"best_recipe.json": "{}", "results.csv": "a"}
    results.write_results(tmp_path, "s", texts)
    results.write_results(tmp_path, "s", texts | {name: "another result"})
    (tmp_path / name).write_text("edited")
    with pytest.raises(ForeignPathError) as caught:
        results.write_results(tmp_path, "s", texts)
    assert caught.value.path == tmp_path / name
    assert (tmp_path / name).read_text() == "edited"


def test_search_without_results_is_an_error(tmp_path, capsys):
    space = Space(MODEL1, {"batch_size": [8, 16]}, "a space")
    trials = {"s-trial1": ({"batch_size": 8}, "the loss diverged"), "s-trial2": ({}, None)}
    with pytest.raises(results.NoResultError):
        results.save_results(project_in(tmp_path), "s", space, trials)
    printed = capsys.readouterr().out
    assert "s-trial1 has no result: the loss diverged." in printed
    assert "s-trial2 has no result: it was stopped" in printed


def test_trials_are_labelled_by_a_short_setting():
    short = Space(MODEL1, {"batch_size": [8, 16], "epochs": [3]}, "a space")
    labels = results.trial_labels(short, ["s-trial1"], [{"batch_size": 8, "epochs": 3}])
    assert labels == ["batch size 8"]
    long = Space(find_recipe("model3"), SPACES["model3"], "a space")
    assert results.trial_labels(long, ["s-trial1"], [{}]) == ["s-trial1"]
