"""Check and convert the arguments of the API."""

import json
import os
from collections.abc import Mapping
from types import UnionType
from typing import Any

from kaggle_cifar.devices.drivers import hide_gpus
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import is_number
from kaggle_cifar.recipes import Recipe, find_recipe, require_one_of
from kaggle_cifar.training.options import parse_duration

RecipeLike = Recipe | str | os.PathLike[str]
DEVICES = ("cpu",)
Changes = Mapping[str, Any] | list[str] | tuple[str, ...]


class ArgumentTypeError(UserError, TypeError):
    """An argument has a wrong type; `key` names it."""

    def __init__(self, key: str, expected: str, value: Any) -> None:
        super().__init__(f"{key} must be {expected}, not {value!r:.80}.")
        self.key = key


class ConflictingArgumentsError(UserError):
    """Two arguments exclude each other, or one needs another."""


def require_type(key: str, value: Any, kinds: type | UnionType, expected: str) -> None:
    """Raise an ArgumentTypeError unless the value is of one of the kinds."""
    if not isinstance(value, kinds):
        raise ArgumentTypeError(key, expected, value)


def require_flags(**flags: bool) -> None:
    """Raise an ArgumentTypeError unless all values are True or False."""
    for key, value in flags.items():
        require_type(key, value, bool, "True or False")


def check_device(device: str | None, gpus: float | None = None) -> None:
    """Raise a UserError unless the device is None or "cpu", which excludes a number of GPUs."""
    if device is not None:
        require_one_of("device", device, DEVICES)
        if gpus:
            raise ConflictingArgumentsError("The device cpu excludes GPUs per training.")


def use_device(device: str | None) -> None:
    """Hide the GPUs from TensorFlow in this process if the device is "cpu"."""
    if device == "cpu":
        hide_gpus()


def to_recipe(recipe: RecipeLike) -> Recipe:
    """Return a recipe, given as such, by its name or by its JSON file.

    Raises
    ------
    ArgumentTypeError
        If it is something else.
    UserError
        As `recipes.find_recipe`.
    """
    if isinstance(recipe, Recipe):
        return recipe
    expected = "a Recipe, the name of one, or the path of a JSON file"
    require_type("recipe", recipe, str | os.PathLike, expected)
    return find_recipe(os.fspath(recipe))


def to_seconds(time_budget: str | float | None) -> float | None:
    """Return the seconds of a time budget like "50m" or 3000."""
    if isinstance(time_budget, str):
        return parse_duration(time_budget)
    if time_budget is not None and (not is_number(time_budget, 0) or not time_budget):
        raise ArgumentTypeError("time_budget", 'a duration like "50m" or seconds', time_budget)
    return None if time_budget is None else float(time_budget)


def to_changes(changes: Changes | None) -> tuple[str, ...]:
    """Return changes to a recipe as texts like `learning_rate=0.003`."""
    if isinstance(changes, Mapping):
        try:
            return tuple(f"{key}={json.dumps(value)}" for key, value in changes.items())
        except (TypeError, ValueError):
            pass
    elif changes is None:
        return ()
    elif isinstance(changes, list | tuple) and all(isinstance(part, str) for part in changes):
        return tuple(changes)
    raise ArgumentTypeError(
        "changes", 'a dict of plain values or a list like ["learning_rate=0.003"]', changes
    )
