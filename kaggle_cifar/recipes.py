"""The recipes: network, optimiser, schedule and stopping under one name.

A recipe is frozen: what it gives on the same data is known. A changed one is another recipe.
"""

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass

from kaggle_cifar.errors import UserError

DEFAULT = "model3-tuned"


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs without a new lowest validation loss; keep its weights."""

    patience: int


@dataclass(frozen=True)
class Plateau:
    """Multiply the rate by `factor` after `patience` epochs without improvement.

    Improvement is a validation loss lower than the best by more than `min_delta`.
    """

    factor: float
    patience: int = 2
    min_delta: float = 1e-4


@dataclass(frozen=True)
class ExponentialDecay:
    """From zero-based epoch `start` on, multiply the standing rate by e^-`rate` at each start."""

    start: int
    rate: float


@dataclass(frozen=True)
class Recipe:
    """All that decides a training besides the data and the seed."""

    name: str
    network: str
    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    decay: float = 0.0  # a step, for legacy-rmsprop
    early_stopping: EarlyStopping | None = None
    plateau: Plateau | None = None
    exponential_decay: ExponentialDecay | None = None


def model1() -> Recipe:
    """The student project's first network, with Adam and Keras' default rate and batch size.

    There, the public test set served as validation data and the last epoch was kept. Here, a
    part of the training images does: the test labels are for nobody to look at.
    """
    return Recipe(
        name="model1",
        network="model1",
        optimizer="adam",
        learning_rate=1e-3,
        batch_size=32,
        epochs=25,
    )


def model2() -> Recipe:
    """The student project's second network, trained and judged as its first, for 15 epochs."""
    return dataclasses.replace(model1(), name="model2", network="model2", epochs=15)


def model3() -> Recipe:
    """Model 3 as the student project first trained it: 0.8462 on held-out images there.

    RMSprop of Keras 2 with a decay of 1e-6 a step, beside a rate that falls on plateaus.
    """
    return Recipe(
        name="model3",
        network="model3",
        optimizer="legacy-rmsprop",
        learning_rate=1e-3,
        decay=1e-6,
        batch_size=64,
        epochs=50,
        early_stopping=EarlyStopping(patience=5),
        plateau=Plateau(factor=0.2),
    )


def model3_tuned_plateau() -> Recipe:
    """Model 3 with the rate and batch size that the student project's search chose."""
    return Recipe(
        name="model3-tuned-plateau",
        network="model3",
        optimizer="rmsprop",
        learning_rate=1e-2,
        batch_size=32,
        epochs=40,
        early_stopping=EarlyStopping(patience=5),
        plateau=Plateau(factor=0.5),
    )


def model3_tuned() -> Recipe:
    """Model 3 tuned, its rate decaying from the eleventh epoch: 0.8261 in the student project."""
    return dataclasses.replace(
        model3_tuned_plateau(),
        name="model3-tuned",
        exponential_decay=ExponentialDecay(start=10, rate=0.1),
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    recipe().name: recipe for recipe in (model1, model2, model3, model3_tuned_plateau, model3_tuned)
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises
    ------
    UserError
        When there is none; it lists those there are and suggests the nearest.
    """
    if name in RECIPES:
        return RECIPES[name]()
    near = difflib.get_close_matches(name, RECIPES, n=1)
    suggestion = f" Did you mean {near[0]}?" if near else ""
    raise UserError(f"There is no recipe {name!r}.{suggestion} Recipes: {', '.join(RECIPES)}.")
