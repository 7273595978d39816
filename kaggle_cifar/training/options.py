"""The options of a run: what decides it besides its recipe and the data."""

from dataclasses import dataclass

from kaggle_cifar.data.validation_split import VALIDATION_SPLITS, is_validation_split
from kaggle_cifar.recipes import SettingError, require_number

LARGEST_SEED = 2**32 - 1  # accepted by NumPy's global generator
LONGEST_BUDGET = 1000 * 3600.0  # seconds


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
        require_number("seed", self.seed, 0, LARGEST_SEED, whole=True)
        if self.limit is not None:
            require_number("limit", self.limit, 1, whole=True)
        if self.time_budget is not None:
            require_number("time_budget", self.time_budget, 0, LONGEST_BUDGET)
        if not is_validation_split(self.validation):
            expected = f"one of {', '.join(VALIDATION_SPLITS)} or a fold like fold1of10"
            raise SettingError("validation", expected, self.validation)
