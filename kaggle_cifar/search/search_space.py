"""Spaces of hyper-parameters: which recipes a search may try."""

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
from kaggle_cifar.files import from_json, read_json
from kaggle_cifar.recipes import Recipe, change_recipe, model3

# The student project's grid, for Model 3.
GRID: dict[str, list[Any]] = {
    "batch_size": [32, 64],
    "epochs": [10, 20],
    "learning_rate": [0.001, 0.01],
    "optimizer": ["adam", "rmsprop"],
}
GRID_SIZE = math.prod(map(len, GRID.values()))
DRAW_SEED = 42

Setting = dict[str, Any]  # a recipe's keys, as `--set` takes them, with their values


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both included; whole ones where both are whole.

    With `log`, numbers of every order of magnitude are equally likely.
    """

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise UserError(f"a range's low must be less than its high, not {self.low}")
        if self.log and not self.low > 0:
            raise UserError(f"a logarithmic range begins above 0, not at {self.low}")

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)


# What is searched, by the recipe's network: a list's values or a range's numbers for each key.
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


class Space:
    """For each key of a recipe, the values that a search may give it.

    Raises
    ------
    UserError
        When a key has neither values nor a range, or the recipe rejects one.
    """

    def __init__(self, recipe: Recipe, content: Mapping[str, Any], source: str) -> None:
        if not isinstance(content, dict) or not content:
            raise UserError(f"{source}: expected a JSON object of a recipe's keys.")
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
            self.ranges[key] = from_json(Range, values)
        except (TypeError, UserError) as error:
            raise UserError(
                f'{self.source}: {key} must be a list of values, or a range like {{"low": 0.001, '
                f'"high": 0.1, "log": true}}, not {json.dumps(values)} ({error}).'
            ) from None

    def _try_each_value(self) -> None:
        """Build a recipe with each value, beside the first values of the other keys."""
        ends = {key: [values.low, values.high] for key, values in self.ranges.items()}
        values = {**self.choices, **ends}
        first = {key: options[0] for key, options in values.items()}
        for key, options in values.items():
            for value in options:
                try:
                    self.apply({**first, key: value}, self.recipe.name)
                except UserError as error:
                    raise UserError(
                        f"{self.source}: the recipe {self.recipe.name} rejects {key} = "
                        f"{json.dumps(value)}: {error}"
                    ) from None

    def apply(self, setting: Setting, name: str) -> Recipe:
        """Return the recipe with a setting, under another name."""
        changed = change_recipe(
            self.recipe, [f"{key}={json.dumps(value)}" for key, value in setting.items()]
        )
        return dataclasses.replace(changed, name=name)

    def read(self, config: Mapping[str, Any]) -> Setting:
        """Return the setting in a trial's configuration.

        That has the JSON text of what is chosen from a list, as samplers want plain values, and
        numbers of a range with all their digits.
        """
        setting = {}
        for key in self.content:
            if key in self.choices:
                several = len(self.choices[key]) > 1
                setting[key] = json.loads(config[key]) if several else self.choices[key][0]
            else:
                value = config[key]
                setting[key] = float(f"{value:.4g}") if isinstance(value, float) else value
        return setting

    @property
    def max_epochs(self) -> int:
        """The most epochs that a recipe of the space has."""
        values = self.choices.get("epochs") or [self.recipe.epochs]
        if "epochs" in self.ranges:
            values = [self.ranges["epochs"].high]
        return max(map(math.ceil, values))


def declared_space(recipe: Recipe, file: Path | None) -> Space:
    """Return the space in a JSON file, or the one that this program declares for the recipe.

    Raises
    ------
    UserError
        When the file is no space of this recipe, or none is declared.
    """
    if file:
        return Space(recipe, read_json(file), str(file))
    if recipe.network not in SPACES:
        raise UserError(
            f"There is no space for recipes of the network {recipe.network}; there are for "
            f"{' and '.join(SPACES)}. Declare your own in a JSON file: --space FILE."
        )
    return Space(recipe, SPACES[recipe.network], f"the space of {recipe.network}")


class Draw:
    """The student project's draw of settings from its grid of 16, for Model 3."""

    def __init__(self, trials: int, epochs: int | None = None) -> None:
        changes = {"epochs": epochs} if epochs else {}
        self.settings = [{**setting, **changes} for setting in draw_from_grid(trials)]
        self.recipe = model3()
        self.content: dict[str, Any] = {"settings": self.settings}
        self.choices = {**GRID, **{key: [value] for key, value in changes.items()}}
        self.ranges: dict[str, Range] = {}

    @property
    def max_epochs(self) -> int:
        """The most epochs that a setting has."""
        return max(setting["epochs"] for setting in self.settings)

    def read(self, config: Mapping[str, Any]) -> Setting:
        """Return the setting in a trial's configuration."""
        return dict(config["setting"])

    def apply(self, setting: Setting, name: str) -> Recipe:
        """Return Model 3 with a setting, which names it whatever the trial's `name`."""
        return grid_recipe(setting)


def draw_from_grid(trials: int) -> list[Setting]:
    """Return `trials` of the grid's 16 settings, the very ones that the student project drew.

    It drew five with `random.seed(42)` and `random.sample` from scikit-learn's `ParameterGrid`,
    which sorts the names and varies the last one fastest. Its text calls 20 epochs at batch 32
    and rate 0.01 the best line of its figure: its code never drew that setting. By matplotlib's
    order of colours the red line, which it means, would be (32, 20, 0.001, adam).
    """
    settings = [
        dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())
    ]
    return random.Random(DRAW_SEED).sample(settings, trials)


def grid_recipe(setting: Setting) -> Recipe:
    """Return Model 3 with a setting: no callbacks, Keras 2's RMSprop with a decay of 1e-6."""
    name = "model3," + ",".join(f"{key}={value}" for key, value in setting.items())
    legacy = setting["optimizer"] == "rmsprop"
    return dataclasses.replace(
        model3(),
        **{**setting, "optimizer": "legacy-rmsprop" if legacy else setting["optimizer"]},
        name=name,
        decay=1e-6 if legacy else 0.0,
        early_stopping=None,
        plateau=None,
    )
