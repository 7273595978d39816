"""Check the values in a run's JSON and CSV files."""

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError

LARGEST_NUMBER = 1e38  # float32 holds it
LARGEST_COUNT = 2**53  # float64 holds it and each smaller count
LONGEST = 1e9  # seconds: 31 years
DEEPEST = 8  # levels of nested values
NAMED = 3  # faults in an error message


class DamagedFileError(UserError):
    """The file at `path` holds invalid values; `readable` is what remains of its content."""

    def __init__(self, path: Path, faults: Sequence[str], readable: Any) -> None:
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        super().__init__(
            f"{path} is damaged: {'; '.join(faults[:NAMED])}{more}. Restore the file, or use "
            "another --name to train again."
        )
        self.path, self.readable = path, readable


@dataclass(frozen=True)
class Kind:
    """What a value must be, as a noun phrase and as a predicate."""

    words: str
    accepts: Callable[[Any], bool]


Kinds = Mapping[str, "Kind | Kinds"]  # by key; an object's keys have kinds of their own


def is_number(value: Any, low: float = -LARGEST_NUMBER, high: float = LARGEST_NUMBER) -> bool:
    """Return whether the value is a number in a range, not a bool, NaN or infinity."""
    return type(value) in (int, float) and low <= value <= high


def is_text(value: Any) -> bool:
    """Return whether the value is one line of printable text."""
    return isinstance(value, str) and value.isprintable()


NUMBER = Kind("a number", is_number)
FROM_0 = Kind("a number of at least 0", lambda value: is_number(value, 0))
SHARE = Kind("a number from 0 to 1", lambda value: is_number(value, 0, 1))
SECONDS = Kind("a number of seconds", lambda value: is_number(value, 0, LONGEST))
COUNT = Kind(
    "a whole number of at least 0",
    lambda value: type(value) is int and 0 <= value <= LARGEST_COUNT,
)
TEXT = Kind("text", is_text)
TEXTS = Kind("a list of text", lambda value: isinstance(value, list) and all(map(is_text, value)))


def optional(kind: Kind) -> Kind:
    """Return the kind of values that may also be null."""
    return Kind(f"{kind.words} or null", lambda value: value is None or kind.accepts(value))


def check_values(
    content: Any, kinds: Kinds, required: Sequence[str] = (), prefix: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Return the valid values of an object, and a fault for each of the others.

    Keys that `kinds` does not list may have any printable value.
    """
    if not isinstance(content, dict):
        return {}, [f"{prefix.rstrip('.') or 'it'} must be an object, not {reprlib.repr(content)}"]
    faults = [f"{prefix}{key} is missing" for key in required if key not in content]
    usable = {}
    for key, value in content.items():
        kind = kinds.get(key)
        if not is_printable({key: value}):
            faults.append(f"{prefix}{key!a} cannot be shown")
        elif isinstance(kind, Mapping):
            usable[key], within = check_values(value, kind, (), f"{prefix}{key}.")
            faults += within
        elif kind is None or kind.accepts(value):
            usable[key] = value
        else:
            faults.append(f"{prefix}{key} must be {kind.words}, not {reprlib.repr(value)}")
    return usable, faults


def is_printable(value: Any, levels: int = DEEPEST) -> bool:
    """Return whether a JSON value is not nested too deep and holds only valid Unicode."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if not isinstance(value, dict | list):
        return True
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return levels > 0 and all(is_printable(part, levels - 1) for part in parts)
