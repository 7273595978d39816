"""Checks of the values in a run's files."""

from pathlib import Path

import pytest

from kaggle_cifar import fields
from kaggle_cifar.fields import DamagedFileError, check_values, optional

KINDS = {
    "accuracy": fields.SHARE,
    "steps": fields.COUNT,
    "loss": optional(fields.NUMBER),
    "seconds": {"epoch": fields.SECONDS},
    "names": fields.TEXTS,
}


def test_valid_values_are_returned():
    content = {"accuracy": 0.5, "steps": 3, "loss": None, "seconds": {"epoch": 2.5}, "names": ["a"]}
    assert check_values(content | {"other": [1]}, KINDS) == (content | {"other": [1]}, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", 1.5),
        ("accuracy", True),
        ("accuracy", float("nan")),
        ("steps", 1.0),
        ("steps", -1),
        ("steps", 2**60),
        ("loss", float("inf")),
        ("loss", "0.1"),
        ("seconds", [1]),
        ("names", ["a\nb"]),
        ("names", "a"),
        ("other", "\ud800"),
        ("other", [[[[[[[[[1]]]]]]]]]),
    ],
)
def test_invalid_value_is_left_out_and_named(key, value):
    usable, faults = check_values({"steps": 0, key: value}, KINDS)
    assert usable.get(key) in (None, {})
    assert len(faults) == 1
    assert key in faults[0]


def test_fault_in_nested_value_has_its_whole_key():
    usable, faults = check_values({"seconds": {"epoch": -1, "step": 2}}, KINDS)
    assert usable == {"seconds": {"step": 2}}
    assert faults[0].startswith("seconds.epoch must be")


def test_missing_required_key_is_a_fault():
    assert check_values({}, KINDS, ["steps"]) == ({}, ["steps is missing"])
    assert check_values([], KINDS) == ({}, ["it must be an object, not []"])


def test_damaged_file_error_names_three_faults():
    error = DamagedFileError(Path("metrics.json"), list("abcde"), {"x": 1})
    assert (error.path, error.readable) == (Path("metrics.json"), {"x": 1})
    assert "a; b; c; and 2 more" in str(error)
