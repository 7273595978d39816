"""Search spaces in Optuna's terms, and the importance of their keys."""

import optuna
import pytest

from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search.optuna_space import key_importances, to_distributions
from kaggle_cifar.search.search_space import SPACES, Space, declared_space


@pytest.mark.parametrize("name", ["model3", "model3-tuned", "airbench94", "airbench96"])
def test_samplers_draw_settings_that_recipes_accept(name):
    recipe = find_recipe(name)
    space = declared_space(recipe, None)
    for seed in range(20):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        setting = space.from_config(study.ask(to_distributions(space)).params)
        assert setting.keys() == SPACES[recipe.network].keys()
        changed = space.apply(setting, "changed")
        assert (changed.name, changed.network) == ("changed", recipe.network)
        assert changed.learning_rate == setting["learning_rate"]


def test_key_importances_find_the_key_that_matters():
    content = {"learning_rate": {"low": 0.1, "high": 1.0}, "batch_size": [8, 16], "epochs": [3]}
    space = Space(find_recipe("model1"), content, "a space")
    settings = [
        {"learning_rate": 0.1 + number / 50, "batch_size": [8, 16][number % 2], "epochs": 3}
        for number in range(40)
    ]
    shares = key_importances(space, settings, [setting["learning_rate"] for setting in settings])
    assert list(shares) == ["learning_rate", "batch_size"]
    assert shares["learning_rate"] > 0.9
    assert key_importances(space, settings[:2], [0.1, 0.2]) == {}
