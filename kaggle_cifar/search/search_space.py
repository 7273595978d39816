"""Search spaces: the values that a search may give to the keys of a recipe."""

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import NUMBER
from kaggle_cifar.files import read_json
from kaggle_cifar.recipes import Recipe, change_recipe, model3, validate
from kaggle_cifar.recipes.validation import from_json

LEGACY_RMSPROP = "legacy-rmsprop"  # the only optimizer with a `decay`
GRID_DRAW = "grid-draw"  # the sampler that draws as the student project did
# The student project's grid for Model 3. It used RMSprop of Keras 2.
GRID: dict[str, list[Any]] = {
    "batch_size": [32, 64],
    "epochs": [10, 20],
    "learning_rate": [0.001, 0.01],
    "optimizer": ["adam", LEGACY_RMSPROP],
}
GRID_SIZE = math.prod(map(len, GRID.values()))
DRAW_SEED = 42
RANGE = '{"low": 0.001, "high": 0.1, "log": true}'  # an example for error messages

Setting = dict[str, Any]  # a recipe's keys, as `--set` takes them, and their values


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, inclusive; integers if both ends are integers.

    With `log`, all orders of magnitude are equally likely.
    """

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        validate(self, low=NUMBER, high=NUMBER)
        if not self.low < self.high:
            raise UserError(f"low ({self.low}) must be less than high ({self.high}).")
        if self.log and not self.low > 0:
            raise UserError(f"low must be greater than 0 if log is true, not {self.low}.")

    @property
    def is_integer(self) -> bool:
        """Whether the range holds integers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)


# The declared space of each network: for each key a list of values or a range.
SPACES: dict[str, dict[str, Any]] = {
    "model3": {
        "optimizer": ["adam", "rmsprop"],
        "decay": [0.0],
        "plateau": [None],
        "early_stopping": [None],
        "learning_rate": {"low": 3e-4, "high": 1e-2, "log": True},
        "exponential_decay": [None, {"start": 3, "rate": 0.1}, {"start": 3, "rate": 0.2}],
        "batch_size": [32, 64, 128],
        "network_options.widths": [[32, 64, 128], [48, 96, 192]],
        "network_options.dropouts": [[0.2, 0.3, 0.4], [0.1, 0.2, 0.3], [0.3, 0.4, 0.5]],
        "augmentation": [None, {"flip": "random"}, {"flip": "random", "translate": 2}],
    },
    "airbench": {
        "learning_rate": {"low": 0.3, "high": 3.0, "log": True},
        "sgd.momentum": [0.8, 0.85, 0.9],
        "sgd.weight_decay": {"low": 3e-4, "high": 5e-3, "log": True},
        "batch_size": [512, 1024],
        "network_options.widths": [[64, 256, 256], [32, 128, 256], [128, 256, 256]],
        "augmentation.translate": {"low": 1, "high": 4},
        "augmentation.cutout": [0, 8],
        "label_smoothing": [0.1, 0.2],
    },
}


class SpaceError(UserError):
    """A search space that cannot be used; `source` names it, `key` is None for all of it."""

    def __init__(self, source: str, key: str | None, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source, self.key = source, key


class Space:
    """The values that a search may give to each key of a recipe.

    Raises
    ------
    SpaceError
        If a key has neither values nor a range, or the recipe rejects a value.
    """

    def __init__(self, recipe: Recipe, content: Mapping[str, Any], source: str) -> None:
        if not isinstance(content, dict) or not content:
            message = (
                "a search space must be a JSON object with the recipe's keys and, for each, a list "
                f"of values or a range like {RANGE}."
            )
            raise SpaceError(source, None, message)
        self.recipe, self.content, self.source = recipe, content, source
        self.choices: dict[str, list[Any]] = {}
        self.ranges: dict[str, Range] = {}
        for key, values in content.items():
            self._declare(key, values)
        self._try_each_value()

    def _declare(self, key: str, values: Any) -> None:
        if isinstance(values, list) and values:
            self.choices[key] = values
            return
        try:
            self.ranges[key] = from_json(Range, values, "range")
        except UserError as error:
            reason = f" {error}" if isinstance(values, dict) else ""
            message = (
                f"{key} must be a list of values or a range like {RANGE}, not "
                f"{json.dumps(values)}.{reason}"
            )
            raise SpaceError(self.source, key, message) from None

    def _try_each_value(self) -> None:
        """Build a recipe with each value, and the first value of every other key."""
        ends = {key: [values.low, values.high] for key, values in self.ranges.items()}
        values = {**self.choices, **ends}
        first = {key: options[0] for key, options in values.items()}
        for key, options in values.items():
            for value in options:
                try:
                    self.apply({**first, key: value}, self.recipe.name)
                except UserError as error:
                    message = (
                        f"{self.recipe.name} cannot be trained with {key}={json.dumps(value)}. "
                        f"{error}"
                    )
                    raise SpaceError(self.source, key, message) from None

    @property
    def varied_keys(self) -> list[str]:
        """The keys that have more than one value."""
        return [key for key in self.content if key in self.ranges or len(self.choices[key]) > 1]

    def apply(self, setting: Setting, name: str) -> Recipe:
        """Return the recipe with a setting, renamed to `name`."""
        if setting.get("optimizer", LEGACY_RMSPROP) != LEGACY_RMSPROP:
            setting = {"decay": 0.0, **setting}
        changes = [f"{key}={json.dumps(value)}" for key, value in setting.items()]
        return dataclasses.replace(change_recipe(self.recipe, changes), name=name)

    def to_config(self, setting: Setting) -> dict[str, Any]:
        """Return the configuration of a trial with that setting.

        It holds the JSON text of a value from a list, because Optuna takes plain values only.
        """
        return {
            key: json.dumps(setting[key]) if key in self.choices else setting[key]
            for key in self.varied_keys
        }

    def from_config(self, config: Mapping[str, Any]) -> Setting:
        """Return the setting of a trial, with four digits of a range's numbers."""
        setting = {}
        for key in self.content:
            if key in self.ranges:
                value = config[key]
                setting[key] = float(f"{value:.4g}") if isinstance(value, float) else value
            elif key in self.varied_keys:
                setting[key] = json.loads(config[key])
            else:
                setting[key] = self.choices[key][0]
        return setting

    @property
    def max_epochs(self) -> int:
        """The largest number of epochs in the space."""
        if "epochs" in self.ranges:
            return math.ceil(self.ranges["epochs"].high)
        epochs: list[float] = self.choices.get("epochs", [self.recipe.epochs])
        return max(map(math.ceil, epochs))


def declared_space(recipe: Recipe, file: Path | None) -> Space:
    """Return the space in a JSON file, or the one declared for the recipe's network.

    Raises
    ------
    SpaceError
        If the file holds no space of this recipe, or none is declared.
    """
    if file:
        return Space(recipe, read_json(file), str(file))
    if recipe.network not in SPACES:
        message = (
            f"this network has no search space. Use {' or '.join(SPACES)}, or `--space FILE` "
            "with a search space of your own."
        )
        raise SpaceError(recipe.network, None, message)
    return Space(recipe, SPACES[recipe.network], f"the search space of {recipe.network}")


def student_grid(epochs: int | None = None) -> Space:
    """Return the student project's grid for Model 3, which it trained without callbacks.

    With `epochs`, every trial has that many epochs instead of the grid's.
    """
    recipe = dataclasses.replace(model3(), early_stopping=None, plateau=None)
    content = {**GRID, "epochs": [epochs]} if epochs else GRID
    return Space(recipe, content, "the student project's grid")


def draw_from_grid(trials: int) -> list[Setting]:
    """Return `trials` of the grid's 16 settings, the same ones that the student project drew.

    It drew five with `random.seed(42)` and `random.sample` from scikit-learn's `ParameterGrid`,
    which sorts the names and varies the last one fastest. Its text calls 20 epochs at batch 32
    and learning rate 0.01 the best line of its figure, but its code never drew that setting. By
    matplotlib's order of colours, the red line of that figure is (32, 20, 0.001, adam).
    """
    settings = [
        dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())
    ]
    return random.Random(DRAW_SEED).sample(settings, trials)
