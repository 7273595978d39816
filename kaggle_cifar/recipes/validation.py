"""Check settings and names, and say what was expected."""

import difflib
import re
import reprlib
from collections.abc import Iterable
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import LARGEST_NUMBER, Kind, is_number

NAME = r"\w[\w.,=+-]*"  # of a recipe or a run, and so of the run's folder
WINDOWS_DEVICES = frozenset(
    (
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³"),
    )
)
LARGEST_INTEGER = 2**31 - 1  # TensorFlow counts no further


class SettingError(UserError):
    """A setting has a value that cannot be trained with; `key` names the setting."""

    def __init__(self, key: str, expected: str, value: Any) -> None:
        super().__init__(f"{key} must be {expected}, not {reprlib.repr(value)}.")
        self.key = key


class InvalidNameError(UserError):
    """A name cannot be the name of a folder on every system; `name` is that name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class UnknownNameError(UserError):
    """A name is none of the known ones; `suggestion` is the nearest of them, if one is near."""

    def __init__(self, kind: str, name: str, names: list[str]) -> None:
        self.name = name
        self.suggestion = next(iter(difflib.get_close_matches(name, names, n=1)), None)
        near = f" Did you mean {self.suggestion}?" if self.suggestion else ""
        super().__init__(f"There is no {kind} {name!r}.{near} Choose from {', '.join(names)}.")


def number(low: float, high: float = LARGEST_NUMBER) -> Kind:
    """Return the kind of finite numbers from `low` to `high`, both included."""
    return Kind(f"a number from {low:,} to {high:,}", lambda value: is_number(value, low, high))


def whole_number(low: int, high: int = LARGEST_INTEGER) -> Kind:
    """Return the kind of integers from `low` to `high`, both included."""
    return Kind(
        f"a whole number from {low:,} to {high:,}",
        lambda value: type(value) is int and low <= value <= high,
    )


def positive(high: float = LARGEST_NUMBER) -> Kind:
    """Return the kind of finite numbers greater than 0 and at most `high`."""
    limit = f"{high:,}" if isinstance(high, int) else f"{high:g}"
    return Kind(
        f"a number greater than 0 and at most {limit}",
        lambda value: is_number(value, 0, high) and value > 0,
    )


def list_of(kind: Kind) -> Kind:
    """Return the kind of lists with at least one value, all of one kind."""
    return Kind(
        f"a list, each value {kind.words}",
        lambda values: (
            isinstance(values, list | tuple) and bool(values) and all(map(kind.accepts, values))
        ),
    )


FRACTION = Kind(
    "a number of at least 0 and less than 1", lambda value: is_number(value, 0) and value < 1
)
PROPER_FRACTION = Kind(
    "a number greater than 0 and less than 1", lambda value: is_number(value, 0) and 0 < value < 1
)


def validate(settings: object, prefix: str = "", /, **kinds: Kind) -> None:
    """Raise a SettingError unless each attribute named in `kinds` is of its kind."""
    for key, kind in kinds.items():
        check_setting(f"{prefix}{key}", getattr(settings, key), kind)


def check_setting(key: str, value: Any, kind: Kind) -> None:
    """Raise a SettingError unless the value of `key` is of that kind."""
    if not kind.accepts(value):
        raise SettingError(key, kind.words, value)


def require_name(kind: str, name: str) -> None:
    """Raise an InvalidNameError unless `name` can name a recipe or a run on every system.

    Windows reserves names such as `nul` in every folder, also with an ending as in `nul.txt`.
    """
    if not re.fullmatch(NAME, name):
        raise InvalidNameError(
            name,
            f"Invalid {kind} name {name!r}. Begin with a letter or digit and use only letters, "
            "digits and . , = + - _",
        )
    if name.partition(".")[0].lower() in WINDOWS_DEVICES:
        raise InvalidNameError(
            name,
            f"Invalid {kind} name {name!r}: Windows reserves it for a device. Choose another name.",
        )


def require_one_of(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise an UnknownNameError unless `name` is one of `names`."""
    known = list(names)
    if name not in known:
        raise UnknownNameError(kind, name, known)
