"""Kinds of values, names, and the errors that say what was expected."""

import dataclasses

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import airbench94
from kaggle_cifar.recipes.validation import (
    FRACTION,
    InvalidNameError,
    MissingKeysError,
    SettingError,
    UnknownNameError,
    from_json,
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


@dataclasses.dataclass
class Inner:
    name: str


@dataclasses.dataclass
class Outer:
    rate: float
    inner: Inner | None = None


def test_dataclass_is_read_from_json():
    content = {"rate": 1, "inner": {"name": "a"}}
    assert from_json(Outer, content) == Outer(1.0, Inner("a"))
    assert from_json(Outer, {"rate": 0.5}) == Outer(0.5)


@pytest.mark.parametrize(
    ("content", "key", "expected"),
    [
        ([], "recipe", "an object with the keys rate, inner"),
        ({"rate": "1"}, "rate", "a number"),
        ({"rate": True}, "rate", "a number"),
        ({"rate": 1, "inner": 3}, "inner", "an object with the key name, or null"),
        ({"rate": 1, "inner": {"name": None}}, "inner.name", "text"),
    ],
)
def test_json_of_a_wrong_type_says_what_is_expected(content, key, expected):
    with pytest.raises(SettingError) as caught:
        from_json(Outer, content)
    assert (caught.value.key, caught.value.expected) == (key, expected)


def test_json_with_an_unknown_key_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        from_json(Outer, {"rate": 1, "inner": {"nam": "a"}})
    assert (caught.value.name, caught.value.suggestion) == ("nam", "name")


@pytest.mark.parametrize(
    ("content", "part", "missing"), [({}, "recipe", ["rate"]), ({"inner": {}}, "inner", ["name"])]
)
def test_json_without_a_required_key_is_an_error(content, part, missing):
    with pytest.raises(MissingKeysError) as caught:
        from_json(Outer, {"rate": 1, **content} if part == "inner" else content)
    assert (caught.value.part, caught.value.missing) == (part, missing)


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


@pytest.mark.parametrize("name", [*RESERVED_NAMES, "", "-x", ".x", "a/b", "../up", "a b", 3])
def test_name_that_is_no_folder_is_an_error(tmp_path, name):
    with pytest.raises(InvalidNameError) as of_recipe:
        dataclasses.replace(airbench94(), name=name)
    with pytest.raises(InvalidNameError) as of_run:
        named_run(ProjectPaths(runs=tmp_path), name)
    assert of_recipe.value.name == of_run.value.name == name


@pytest.mark.parametrize("name", ["console", "com", "com10", "nul-seed1", "my.nul", "auxiliary"])
def test_name_like_a_reserved_one_is_accepted(name):
    require_name("run", name)


@pytest.mark.parametrize(("name", "suggestion"), [("modle3", "model3"), ("x", None), (3, None)])
def test_unknown_name_comes_with_the_nearest(name, suggestion):
    with pytest.raises(UnknownNameError) as caught:
        require_one_of("network", name, ["model3", "airbench"])
    assert (caught.value.name, caught.value.suggestion) == (name, suggestion)
    assert isinstance(caught.value, UserError)
    require_one_of("network", "model3", ["model3", "airbench"])
