"""The settings of the augmentation and what they exclude."""

import dataclasses
import json

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.recipes import Augmentation, Mix, SettingError, change_recipe
from kaggle_cifar.recipes.validation import (
    ConflictingSettingsError,
    UnknownNameError,
    from_json,
)

FAST = recipes.airbench94()
EVERYTHING = Augmentation(
    "random", 4, 16, "mean", True, "rand", policy_strength=0.5, mix=Mix("mixup", 0.2)
)


@pytest.mark.parametrize(
    "changes",
    [{"edges": "zero"}, {"flip": "vertical"}, {"policy": "autoaugment"}],
)
def test_unknown_kind_of_augmentation_is_an_error(changes):
    with pytest.raises(UnknownNameError) as caught:
        Augmentation(**changes)
    assert caught.value.name in changes.values()


@pytest.mark.parametrize(
    "changes",
    [{"policy": "rand"}, {"policy": "auto", "policy_strength": 0.5}, {"policy_strength": 0.5}],
)
def test_strength_is_for_rand_augment_only(changes):
    with pytest.raises(ConflictingSettingsError) as caught:
        Augmentation(**changes)
    assert caught.value.key == "augmentation.policy_strength"


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_impossible_strength_is_an_error(strength):
    with pytest.raises(SettingError) as caught:
        Augmentation(policy="rand", policy_strength=strength)
    assert caught.value.key == "augmentation.policy_strength"


@pytest.mark.parametrize("alpha", [0, -1, float("inf")])
def test_impossible_alpha_is_an_error(alpha):
    with pytest.raises(SettingError) as caught:
        Mix("mixup", alpha)
    assert caught.value.key == "augmentation.mix.alpha"
    with pytest.raises(UnknownNameError):
        Mix("mix", 1)


def test_augmentation_survives_json():
    content = json.loads(json.dumps(dataclasses.asdict(EVERYTHING)))
    assert from_json(Augmentation, content) == EVERYTHING


def test_single_settings_change_on_the_command_line():
    changes = ["augmentation.policy=trivial", 'augmentation.mix={"method": "cutmix"}']
    augmentation = change_recipe(FAST, changes).augmentation
    assert augmentation == Augmentation(
        "alternating", translate=2, policy="trivial", mix=Mix("cutmix", 1.0)
    )
