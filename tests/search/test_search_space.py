"""Search spaces: what may be declared, and how a trial's configuration is read."""

import json

import pytest

from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import search_space
from kaggle_cifar.search.search_space import (
    Space,
    SpaceError,
    declared_space,
    draw_from_grid,
    student_grid,
)

MODEL1 = find_recipe("model1")


def test_space_reads_a_configuration_as_declared():
    space = Space(
        MODEL1,
        {
            "optimizer": ["adam"],
            "augmentation": [None, {"flip": "random"}],
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "batch_size": {"low": 10, "high": 20},
        },
        "a space",
    )
    config = {
        "augmentation": json.dumps({"flip": "random"}),
        "learning_rate": 0.00123456789,
        "batch_size": 13,
    }
    setting = space.from_config(config)
    assert setting == {
        "optimizer": "adam",
        "augmentation": {"flip": "random"},
        "learning_rate": 0.001235,
        "batch_size": 13,
    }
    assert space.to_config(setting) == config | {"learning_rate": 0.001235}
    recipe = space.apply(setting, "changed")
    assert (recipe.name, recipe.augmentation.flip) == ("changed", "random")


@pytest.mark.parametrize(
    ("content", "epochs"),
    [
        ({"batch_size": [16]}, 25),
        ({"epochs": [3, 2.5]}, 3),
        ({"epochs": {"low": 2, "high": 7}}, 7),
    ],
)
def test_space_knows_its_most_epochs(content, epochs):
    assert Space(MODEL1, content, "a space").max_epochs == epochs


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ({}, None),
        ([], None),
        ({"batch_size": []}, "batch_size"),
        ({"batch_size": {"low": 3}}, "batch_size"),
        ({"batch_size": {"low": 5, "high": 3}}, "batch_size"),
        ({"learning_rate": {"low": 0, "high": 3, "log": True}}, "learning_rate"),
        ({"batch_size": [16, -1]}, "batch_size"),
        ({"optimizer": ["adam", "adamw"]}, "optimizer"),
        ({"batchsize": [1]}, "batchsize"),
        ({"plateau.factor": [0.1]}, "plateau.factor"),
    ],
)
def test_impossible_space_is_refused(tmp_path, content, key):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(content))
    with pytest.raises(SpaceError) as caught:
        declared_space(MODEL1, file)
    assert (caught.value.source, caught.value.key) == (str(file), key)


def test_network_without_a_space_is_refused():
    with pytest.raises(SpaceError, match="`--space FILE`") as caught:
        declared_space(MODEL1, None)
    assert caught.value.source == "model1"


def test_draw_is_the_student_projects():
    drawn = [tuple(setting.values()) for setting in draw_from_grid(5)]
    assert drawn == [
        (32, 10, 0.01, "legacy-rmsprop"),
        (32, 10, 0.001, "adam"),
        (64, 10, 0.01, "legacy-rmsprop"),
        (32, 20, 0.001, "adam"),
        (64, 20, 0.01, "legacy-rmsprop"),
    ]
    assert len({tuple(setting.values()) for setting in draw_from_grid(16)}) == 16


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 0.0), ("legacy-rmsprop", 1e-6)])
def test_student_grid_trains_without_callbacks(optimizer, decay):
    setting = {"batch_size": 32, "epochs": 10, "learning_rate": 0.01, "optimizer": optimizer}
    recipe = student_grid().apply(setting, "trial")
    assert (recipe.optimizer, recipe.decay) == (optimizer, decay)
    assert (recipe.early_stopping, recipe.plateau, recipe.exponential_decay) == (None, None, None)
    assert (recipe.network, recipe.batch_size, recipe.epochs) == ("model3", 32, 10)


def test_student_grid_takes_other_epochs():
    grid = student_grid(epochs=2)
    settings = [grid.from_config(grid.to_config(drawn)) for drawn in draw_from_grid(5)]
    assert {setting["epochs"] for setting in settings} == {2}
    assert "epochs" not in grid.varied_keys
    assert search_space.GRID["epochs"] == [10, 20]
