"""Kinds of values, names, and the errors that say what was expected."""

import dataclasses

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import airbench94
from kaggle_cifar.recipes.validation import (
    FRACTION,
    InvalidNameError,
    SettingError,
    UnknownNameError,
    list_of,
    number,
    positive,
    require_name,
    require_one_of,
    validate,
    whole_number,
)
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions

RESERVED_NAMES = ["con", "NUL", "Aux", "prn", "com1", "LPT9", "com¹", "nul.txt", "Con.model1.2"]


@pytest.mark.parametrize(
    ("kind", "accepted", "rejected"),
    [
        (number(-1, 2.5), [-1, 0, 2.5], [-1.1, 3, True, "1", None, float("nan")]),
        (whole_number(1), [1, 2**31 - 1], [0, 1.0, True, 2**31]),
        (positive(), [1e-30, 1], [0, -1, float("inf"), 1e39]),
        (positive(10), [10], [10.5]),
        (FRACTION, [0, 0.999], [1, -0.1, float("nan")]),
        (list_of(whole_number(1)), [[1], [1, 2]], [[], [0], 1, "1", None]),
    ],
)
def test_kind_accepts_its_values_only(kind, accepted, rejected):
    assert all(map(kind.accepts, accepted))
    assert not any(map(kind.accepts, rejected))


def test_validate_names_key_and_expected_value():
    @dataclasses.dataclass
    class Settings:
        epochs: int = 0

    with pytest.raises(SettingError, match="number from 1 to 2,147,483,647, not 0") as caught:
        validate(Settings(), "mine.", epochs=whole_number(1))
    assert caught.value.key == "mine.epochs"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("limit", 0),
        ("time_budget", float("nan")),
        ("validation", "fold3of2"),
    ],
)
def test_run_options_are_validated_like_recipes(key, value):
    with pytest.raises(SettingError) as caught:
        RunOptions(**{key: value})
    assert caught.value.key == key


@pytest.mark.parametrize("name", [*RESERVED_NAMES, "", "-x", ".x", "a/b", "../up", "a b"])
def test_name_that_is_no_folder_is_an_error(tmp_path, name):
    with pytest.raises(InvalidNameError) as of_recipe:
        dataclasses.replace(airbench94(), name=name)
    with pytest.raises(InvalidNameError) as of_run:
        named_run(ProjectPaths(runs=tmp_path), name)
    assert of_recipe.value.name == of_run.value.name == name


@pytest.mark.parametrize("name", ["console", "com", "com10", "nul-seed1", "my.nul", "auxiliary"])
def test_name_like_a_reserved_one_is_accepted(name):
    require_name("run", name)


@pytest.mark.parametrize(("name", "suggestion"), [("modle3", "model3"), ("x", None)])
def test_unknown_name_comes_with_the_nearest(name, suggestion):
    with pytest.raises(UnknownNameError) as caught:
        require_one_of("network", name, ["model3", "airbench"])
    assert (caught.value.name, caught.value.suggestion) == (name, suggestion)
    assert isinstance(caught.value, UserError)
    require_one_of("network", "model3", ["model3", "airbench"])
