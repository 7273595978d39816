"""The options of a run: what decides it besides its recipe and the data."""

import re
from dataclasses import dataclass

from kaggle_cifar.data.validation_split import VALIDATION, is_validation_split
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import Kind, optional
from kaggle_cifar.recipes import number, validate, whole_number

LARGEST_SEED = 2**32 - 1  # accepted by NumPy's global generator
LONGEST_BUDGET = 1000 * 3600.0  # seconds


class InvalidDurationError(UserError):
    """A text is not a duration, or the duration is too long; `text` is that text."""

    def __init__(self, text: str, message: str) -> None:
        super().__init__(message)
        self.text = text


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as 50m, 1h30m or 90s."""
    parts = re.fullmatch(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = float(3600 * hours + 60 * minutes + seconds)
    if not total:
        raise InvalidDurationError(text, f"Invalid duration {text!r}; use 50m, 1h30m or 90s.")
    if total > LONGEST_BUDGET:
        raise InvalidDurationError(
            text, f"Invalid duration {text!r}; use at most {LONGEST_BUDGET / 3600:.0f}h."
        )
    return total


@dataclass(frozen=True)
class RunOptions:
    """What decides a run besides its recipe and the data; saved with it.

    Raises
    ------
    SettingError
        If no training could use a value.
    """

    seed: int = 0
    limit: int | None = None  # training images, stratified; None is all
    validation: str = "last20"
    mixed_precision: bool = False
    time_budget: float | None = None  # seconds; the number of epochs was chosen to fit
    search: str | None = None  # the name of the search if the run is a trial

    def __post_init__(self) -> None:
        validate(
            self,
            seed=whole_number(0, LARGEST_SEED),
            limit=optional(whole_number(1)),
            time_budget=optional(number(0, LONGEST_BUDGET)),
            validation=Kind(VALIDATION, is_validation_split),
        )
