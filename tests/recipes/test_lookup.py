"""Recipes found by name or in a JSON file."""

import dataclasses
import json

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import change_recipe, find_recipe
from kaggle_cifar.recipes.lookup import RecipeFileError
from kaggle_cifar.recipes.schema import RENAMED, RenamedKeyError
from kaggle_cifar.recipes.validation import (
    ConflictingSettingsError,
    InvalidNameError,
    MissingKeysError,
    SettingError,
    UnknownNameError,
)

TUNED, FAST = recipes.model3_tuned(), recipes.airbench94()


def write_recipe(path, recipe=TUNED, **changes):
    content = {**dataclasses.asdict(recipe), "name": "mine", **changes}
    path.write_text(json.dumps({"recipe": content, "options": {}}))
    return str(path)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipe_has_its_name_and_survives_its_file(tmp_path, name):
    recipe = find_recipe(name)
    assert recipe.name == name
    assert len(recipes.RECIPES[name].__doc__.split()) > 8
    found = find_recipe(write_recipe(tmp_path / "r.json", recipe))
    assert found == dataclasses.replace(recipe, name="mine")


def test_unknown_recipe_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        find_recipe("airbench95x")
    assert caught.value.suggestion == "airbench95"


def test_recipe_file_may_be_a_changed_run_json(tmp_path):
    recipe = find_recipe(write_recipe(tmp_path / "r.json", batch_size=128, plateau=None))
    assert recipe == dataclasses.replace(TUNED, name="mine", batch_size=128, plateau=None)


@pytest.mark.parametrize(
    ("recipe", "changes", "reason"),
    [
        (FAST, {"sgd": None}, ConflictingSettingsError),
        (FAST, {"muon": {"learning_rate": 0.2, "momentum": 0.6}}, ConflictingSettingsError),
        (FAST, {"optimizer": "muon"}, ConflictingSettingsError),
        (FAST, {"optimizer": "adam"}, ConflictingSettingsError),
        (FAST, {"plateau": {"factor": 0.5}}, ConflictingSettingsError),
        (FAST, {"exponential_decay": {"start": 1, "rate": 0.1}}, ConflictingSettingsError),
        (FAST, {"early_stopping": {"patience": 1}}, ConflictingSettingsError),
        (FAST, {"schedule": {"start": 0.2, "end": 0.0}}, MissingKeysError),
        (FAST, {"augmentation": {"flip": "alternatin"}}, UnknownNameError),
        (FAST, {"augmentation": {"cutout": 2.5}}, SettingError),
        (FAST, {"network_options": [8]}, SettingError),
        (FAST, {"whitening_bias_epochs": "3"}, SettingError),
        (TUNED, {"bach_size": 3}, UnknownNameError),
        (TUNED, {"batch_size": "many"}, SettingError),
        (TUNED, {"network": "modle3"}, UnknownNameError),
        (TUNED, {"network": ["model3"]}, SettingError),
        (TUNED, {"filtering": 3}, SettingError),
        (TUNED, {"filtering": {"network_options": 3}}, SettingError),
        (TUNED, {"schedule": 3}, SettingError),
        (TUNED, {"optimizer": "adan"}, UnknownNameError),
        (TUNED, {"decay": 0.1}, ConflictingSettingsError),
        (TUNED, {"plateau": {"factor": 0.5, "cooldown": 1}}, UnknownNameError),
        (TUNED, {"plateau": 3}, SettingError),
        (TUNED, {"xla": "yes"}, SettingError),
        (TUNED, {"name": "../elsewhere"}, InvalidNameError),
        (TUNED, {"name": "model3-tuned", "epochs": 3}, None),
    ],
)
def test_impossible_recipe_file_is_an_error(tmp_path, recipe, changes, reason):
    with pytest.raises(RecipeFileError) as caught:
        find_recipe(write_recipe(tmp_path / "r.json", recipe, **changes))
    assert caught.value.path == tmp_path / "r.json"
    assert type(caught.value.__cause__) is (reason or type(None))


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"recipe": 3}'])
def test_file_without_a_recipe_is_an_error(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(UserError, match=r"r\.json") as caught:
        find_recipe(str(tmp_path / "r.json"))
    assert "Restore" not in str(caught.value)  # it is the user's own file


def test_file_names_the_keys_that_are_missing(tmp_path):
    (tmp_path / "r.json").write_text('{"name": "mine", "network": "model1", "optimizer": "adam"}')
    with pytest.raises(RecipeFileError, match="learning_rate, batch_size, epochs must be given"):
        find_recipe(str(tmp_path / "r.json"))


@pytest.mark.parametrize(("key", "new_key"), RENAMED.items())
def test_old_key_is_an_error_with_the_new_name(tmp_path, key, new_key):
    content = dataclasses.asdict(FAST) | {"name": "mine"}
    for part in (content, content["sgd"], content["augmentation"], content["network_options"]):
        part[key] = 1
        (tmp_path / "mine.json").write_text(json.dumps({"recipe": content}))
        with pytest.raises(RecipeFileError, match=f"{key} is now called {new_key}"):
            find_recipe(str(tmp_path / "mine.json"))
        del part[key]
    with pytest.raises(RenamedKeyError) as caught:
        change_recipe(FAST, [f"sgd.{key}=1"])
    assert (caught.value.key, caught.value.new_key) == (key, new_key)
