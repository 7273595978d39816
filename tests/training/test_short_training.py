"""Which trainings are said to have stopped too early."""

import dataclasses

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.training.short_training import short_training_note


def note_of(recipe, **metrics):
    values = {"train_images": 40_000, "best_epoch": 19, "epochs": 24} | metrics
    return short_training_note(dataclasses.asdict(recipe), values)


@pytest.mark.parametrize(
    "metrics", [{"best_epoch": 1, "epochs": 6}, {"train_images": 1600}, {"best_epoch": 2}]
)
def test_short_training_is_noted_with_the_remedy(metrics):
    note = note_of(recipes.model3(), **metrics)
    assert "--set early_stopping=null --set plateau=null" in note
    change = ["early_stopping=null", "plateau=null"]
    assert note_of(recipes.change_recipe(recipes.model3(), change), **metrics) == ""


@pytest.mark.parametrize("metrics", [{}, {"epochs": 2, "best_epoch": 2}, {"best_epoch": 3}])
def test_long_training_gets_no_note(metrics):
    assert note_of(recipes.model3(), **metrics) == ""


def test_recipe_without_early_stopping_gets_no_note():
    assert note_of(recipes.airbench94(), train_images=500, best_epoch=1, epochs=4) == ""
    assert short_training_note({}, {}) == ""


def test_note_names_only_the_keys_that_are_set():
    recipe = dataclasses.replace(recipes.model3(), plateau=None)
    assert "plateau" not in note_of(recipe, best_epoch=1)
