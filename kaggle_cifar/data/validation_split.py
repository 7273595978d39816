"""The names of validation splits, and folds."""

import re
from dataclasses import dataclass

VALIDATION_SPLITS = ("last20", "stratified", "none")
VALIDATION = (
    f"{', '.join(VALIDATION_SPLITS)}, or foldKofN with N at least 2 and K from 1 to N, such as "
    "fold1of10"
)


@dataclass(frozen=True)
class Fold:
    """One of `count` equal stratified parts; `number` counts from 1."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count or self.count < 2:
            raise ValueError(f"There is no fold {self.number} of {self.count}.")

    def __str__(self) -> str:
        return f"fold{self.number}of{self.count}"


def parse_fold(name: str) -> Fold | None:
    """Return the fold of a name like "fold2of5", or None."""
    parts = re.fullmatch(r"fold(\d{1,9})of(\d{1,9})", name, re.ASCII)
    try:
        return Fold(int(parts[1]), int(parts[2])) if parts else None
    except ValueError:
        return None


def is_validation_split(name: object) -> bool:
    """Return whether `name` is one of VALIDATION_SPLITS or a fold."""
    return isinstance(name, str) and (name in VALIDATION_SPLITS or parse_fold(name) is not None)
