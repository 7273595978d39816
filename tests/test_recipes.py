"""Recipes: frozen, found by name or file, changed only under another name."""

import dataclasses
import json

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import change_recipe, find_recipe

TUNED = recipes.model3_tuned()


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_has_its_name_and_says_what_it_is(name):
    assert find_recipe(name).name == name
    assert len(recipes.RECIPES[name].__doc__.split()) > 8


def test_the_student_projects_settings():
    model3 = recipes.model3()
    assert (model3.optimizer, model3.learning_rate, model3.decay) == ("legacy-rmsprop", 1e-3, 1e-6)
    assert (model3.batch_size, model3.epochs) == (64, 50)
    assert model3.early_stopping == recipes.EarlyStopping(patience=5)
    assert model3.plateau == recipes.Plateau(factor=0.2, patience=2, min_delta=1e-4)
    assert (TUNED.optimizer, TUNED.learning_rate, TUNED.decay) == ("rmsprop", 1e-2, 0)
    assert (TUNED.batch_size, TUNED.epochs, TUNED.plateau.factor) == (32, 40, 0.5)
    assert TUNED.exponential_decay == recipes.ExponentialDecay(start=10, rate=0.1)
    plateau = recipes.model3_tuned_plateau()
    assert plateau == dataclasses.replace(
        TUNED, name="model3-tuned-plateau", exponential_decay=None
    )
    assert (recipes.model1().epochs, recipes.model2().epochs) == (25, 15)


def write_recipe(path, **changes):
    content = {**dataclasses.asdict(TUNED), "name": "mine", **changes}
    path.write_text(json.dumps({"recipe": content, "options": {}}))
    return str(path)


def test_a_runs_recipe_file_changed_is_a_recipe(tmp_path):
    recipe = find_recipe(write_recipe(tmp_path / "r.json", batch_size=128, plateau=None))
    assert recipe == dataclasses.replace(TUNED, name="mine", batch_size=128, plateau=None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bach_size": 3}, "has no bach_size"),
        ({"batch_size": "many"}, "batch_size cannot be 'many'"),
        ({"batch_size": 0}, "batch_size must be more than 0"),
        ({"network": "modle3"}, "Did you mean model3"),
        ({"optimizer": "adan"}, "Did you mean adam"),
        ({"decay": 0.1}, "legacy-rmsprop"),
        ({"plateau": {"factor": 0.5, "cooldown": 1}}, "has no cooldown"),
        ({"name": "../elsewhere"}, "name"),
        ({"name": "model3-tuned", "epochs": 3}, "another"),
    ],
)
def test_a_wrong_recipe_file_is_named_with_its_fault(tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as caught:
        find_recipe(write_recipe(tmp_path / "r.json", **changes))
    assert "r.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", "{}"])
def test_a_torn_or_foreign_recipe_file_is_named(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError, match=r"r\.json"):
        find_recipe(str(tmp_path / "r.json"))


def test_changes_become_part_of_the_name():
    changed = change_recipe(TUNED, ["learning_rate=0.003", "plateau.factor=0.1"])
    assert changed.name == "model3-tuned,learning_rate=0.003,plateau.factor=0.1"
    assert (changed.learning_rate, changed.plateau.factor) == (0.003, 0.1)
    assert change_recipe(TUNED, ["optimizer=adam", "early_stopping=null"]).early_stopping is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("learning_rate", "KEY=VALUE"),
        ("name=mine", "KEY=VALUE"),
        ("lerning_rate=1", "Did you mean learning_rate"),
        ("plateau.factr=1", "Did you mean factor"),
        ("epochs.factor=1", "has no epochs"),
        ("epochs=many", "epochs cannot be 'many'"),
        ("epochs=-1", "more than 0"),
    ],
)
def test_an_impossible_change_says_what_is_possible(change, words):
    with pytest.raises(UserError, match=words):
        change_recipe(TUNED, [change])
