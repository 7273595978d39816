"""Changes of single settings, as `--set` makes them."""

import dataclasses

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.recipes import SettingError, change_recipe
from kaggle_cifar.recipes.changes import ChangeError
from kaggle_cifar.recipes.validation import UnknownNameError

TUNED, FAST = recipes.model3_tuned(), recipes.airbench94()


def test_changes_become_part_of_the_name():
    changed = change_recipe(TUNED, ["learning_rate=0.003", "plateau.factor=0.1"])
    assert changed.name == "model3-tuned,learning_rate=0.003,plateau.factor=0.1"
    assert (changed.learning_rate, changed.plateau.factor) == (0.003, 0.1)
    assert change_recipe(TUNED, ["optimizer=adam", "early_stopping=null"]).early_stopping is None


@pytest.mark.parametrize(
    ("change", "name", "key", "value"),
    [
        (
            'network_options={"widths":[8,16]}',
            "airbench94,network_options=widths=8,16",
            "network_options",
            {"widths": [8, 16]},
        ),
        (
            "network_options.widths=[8, 16]",
            "airbench94,network_options.widths=8,16",
            "network_options",
            {"widths": [8, 16]},
        ),
        (
            'sgd={"momentum": 0.9, "weight_decay": 0, "bias_scaler": 64}',
            "airbench94,sgd=momentum=0.9,weight_decay=0,bias_scaler=64",
            "sgd",
            recipes.SGD(0.9, 0.0, 64.0),
        ),
        ("epochs=2.5", "airbench94,epochs=2.5", "epochs", 2.5),
        ("lookahead=null", "airbench94,lookahead=null", "lookahead", None),
    ],
)
def test_change_of_any_value_gives_a_name_for_a_folder(change, name, key, value):
    assert change_recipe(FAST, [change]) == dataclasses.replace(FAST, name=name, **{key: value})


@pytest.mark.parametrize(
    "change",
    [
        "learning_rate",
        "name=mine",
        "network_source=[]",
        "exponential_decay.start.x=1",
        "epochs.factor=1",
    ],
)
def test_impossible_change_is_an_error(change):
    with pytest.raises(ChangeError) as caught:
        change_recipe(TUNED, [change])
    assert caught.value.change == change


@pytest.mark.parametrize(
    ("change", "suggestion"),
    [("lerning_rate=1", "learning_rate"), ("plateau.factr=1", "factor"), ("qqq.x=1", None)],
)
def test_change_of_an_unknown_key_suggests_the_nearest(change, suggestion):
    with pytest.raises(UnknownNameError) as caught:
        change_recipe(TUNED, [change])
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("plateau.factor", "2", "a number greater than 0 and less than 1"),
        ("learning_rate", "fast", "a number greater than 0"),
        ("learning_rate", "9" * 400, "a number greater than 0"),
        ("epochs", "many", "a number greater than 0 and at most 1,000,000"),
        ("epochs", "[" * 100_000, "a number greater than 0 and at most 1,000,000"),
        ("batch_size", "64.0", "a whole number from 1 to 50,000"),
        ("plateau", "3", "an object with the keys factor, patience, min_delta, or null"),
        ("drop_last", "yes", "true or false"),
    ],
)
def test_changed_value_says_what_is_expected(key, value, expected):
    with pytest.raises(SettingError) as caught:
        change_recipe(TUNED, [f"{key}={value}"])
    assert (caught.value.key, caught.value.expected) == (key, expected)
