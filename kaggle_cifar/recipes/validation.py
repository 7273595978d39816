"""Check settings and names, and say what was expected."""

import dataclasses
import difflib
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Sequence
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
    """The setting `key` has a value that cannot be trained with; `expected` says what can."""

    def __init__(self, key: str, expected: str, value: Any) -> None:
        super().__init__(f"{key} must be {expected}, not {reprlib.repr(value)}.")
        self.key, self.expected = key, expected


class MissingKeysError(UserError):
    """A recipe, or the part of it at `part`, lacks the keys `missing`."""

    def __init__(self, part: str, missing: Sequence[str], required: Sequence[str]) -> None:
        super().__init__(
            f"{', '.join(missing)} must be given: {part} requires {', '.join(required)}."
        )
        self.part, self.missing = part, missing


class ConflictingSettingsError(UserError):
    """Two settings of a recipe exclude each other; `key` names one of them."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
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
        self.suggestion = next(iter(difflib.get_close_matches(str(name), names, n=1)), None)
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
    limit = "" if high == LARGEST_NUMBER else f" and at most {high:,}"
    return Kind(
        f"a number greater than 0{limit}",
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
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InvalidNameError(
            name,
            f"Invalid {kind} name {reprlib.repr(name)}. Use only letters, digits and . , = + - _ "
            "in it, and begin with a letter, a digit or _.",
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


# Dataclasses

TYPES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    types.NoneType: "null",
}


def from_json(kind: type, content: Any, part: str = "recipe") -> Any:
    """Return a dataclass, and the dataclasses in it, from JSON values.

    `part` names the content in errors.

    Raises
    ------
    SettingError
        If a value does not have the type of its field, or the dataclass rejects it.
    UnknownNameError, MissingKeysError
        If a key is unknown or missing.
    """
    prefix = "" if part == "recipe" else f"{part}."
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(content, dict):
        raise SettingError(part, type_words(kind), content)
    for key in content:
        require_one_of(f"{part} key", key, fields)
    required = [key for key, field in fields.items() if is_required(field)]
    if missing := [key for key in required if key not in content]:
        raise MissingKeysError(part, missing, required)
    hints = typing.get_type_hints(kind)
    values = {key: _converted(hints[key], content[key], prefix + key) for key in content}
    settings = kind(**values)
    check_types(settings, prefix)
    return settings


def _converted(hint: Any, value: Any, key: str) -> Any:
    kinds = alternatives(hint)
    nested = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    if nested and isinstance(value, dict):
        kind = min(nested, key=lambda kind: len(value.keys() - kind.__dataclass_fields__.keys()))
        return from_json(typing.cast(type, kind), value, key)
    if float in kinds and int not in kinds and type(value) is int and is_number(value):
        return float(value)
    return value


def check_types(settings: Any, prefix: str = "") -> None:
    """Raise a SettingError unless each field of a dataclass has its type."""
    for key, hint in typing.get_type_hints(type(settings)).items():
        value = getattr(settings, key)
        kinds = [typing.get_origin(kind) or kind for kind in alternatives(hint)]
        if type(value) not in kinds and not (float in kinds and type(value) is int):
            words = [type_words(kind) for kind in kinds]
            joint = ", or " if any(map(dataclasses.is_dataclass, kinds)) else " or "
            raise SettingError(f"{prefix}{key}", joint.join(words), value)


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the only type."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def type_words(kind: type) -> str:
    """Return a type as a noun phrase of JSON; a dataclass is an object with its keys."""
    if not dataclasses.is_dataclass(kind):
        return TYPES[kind]
    keys = [field.name for field in dataclasses.fields(kind)]
    return f"an object with the key{'s' * (len(keys) > 1)} {', '.join(keys)}"


def is_required(field: "dataclasses.Field[Any]") -> bool:
    """Return whether a field of a dataclass has no default."""
    return field.default is field.default_factory is dataclasses.MISSING
