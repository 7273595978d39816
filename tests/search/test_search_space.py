"""Spaces of hyper-parameters: what may be declared, and how a trial's configuration is read."""

import json

import optuna
import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search.ray_tune import distributions, importances
from kaggle_cifar.search.search_space import SPACES, Space, declared_space

MODEL1 = find_recipe("model1")


@pytest.mark.parametrize("name", ["model3", "model3-tuned", "airbench94", "airbench96"])
def test_every_declared_value_is_one_that_its_recipes_take(name):
    recipe = find_recipe(name)
    space = declared_space(recipe, None)
    for seed in range(20):
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask(
            distributions(space)
        )
        setting = space.read(trial.params)
        assert setting.keys() == SPACES[recipe.network].keys()
        changed = space.apply(setting, "changed")
        assert (changed.name, changed.network) == ("changed", recipe.network)
        assert changed.learning_rate == setting["learning_rate"]


def test_a_configuration_is_read_as_it_was_declared():
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
    setting = space.read(config)
    assert setting == {
        "optimizer": "adam",
        "augmentation": {"flip": "random"},
        "learning_rate": 0.001235,
        "batch_size": 13,
    }
    assert space.apply(setting, "x").augmentation.flip == "random"
    assert set(distributions(space)) == config.keys()


@pytest.mark.parametrize(
    ("content", "epochs"),
    [
        ({"batch_size": [16]}, 25),
        ({"epochs": [3, 2.5]}, 3),
        ({"epochs": {"low": 2, "high": 7}}, 7),
    ],
)
def test_the_most_epochs_are_known(content, epochs):
    assert Space(MODEL1, content, "a space").max_epochs == epochs


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({}, "JSON object"),
        ([], "JSON object"),
        ({"batch_size": []}, "batch_size must be a list"),
        ({"batch_size": {"low": 3}}, "batch_size must be a list"),
        ({"batch_size": {"low": 5, "high": 3}}, "low must be less"),
        ({"learning_rate": {"low": 0, "high": 3, "log": True}}, "logarithmic"),
        ({"batch_size": [16, -1]}, "rejects batch_size = -1"),
        ({"optimizer": ["adam", "adamw"]}, 'rejects optimizer = "adamw".*Did you mean'),
        ({"batchsize": [1]}, "no key 'batchsize'"),
        ({"plateau.factor": [0.1]}, "has no plateau"),
    ],
)
def test_a_space_that_cannot_be_is_a_sentence(tmp_path, content, fault):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=fault) as raised:
        declared_space(MODEL1, file)
    assert str(file) in str(raised.value)


def test_a_network_without_a_space_asks_for_one():
    with pytest.raises(UserError, match="--space FILE"):
        declared_space(MODEL1, None)


def test_what_matters_is_found():
    content = {"learning_rate": {"low": 0.1, "high": 1.0}, "batch_size": [8, 16]}
    space = Space(MODEL1, content, "a space")
    settings = [
        {"learning_rate": 0.1 + number / 50, "batch_size": [8, 16][number % 2]}
        for number in range(40)
    ]
    shares = importances(space, settings, [setting["learning_rate"] for setting in settings])
    assert list(shares) == ["learning_rate", "batch_size"]
    assert shares["learning_rate"] > 0.9
    assert importances(space, settings[:2], [0.1, 0.2]) == {}
