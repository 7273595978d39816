"""Decisions between two epochs: the learning rate, and when to stop."""

import math
from dataclasses import dataclass

import numpy as np

from kaggle_cifar.recipes import Recipe


@dataclass
class EpochSchedule:
    """The learning rate and early stopping of a recipe, with counters.

    The rules are those of Keras' `EarlyStopping`, `ReduceLROnPlateau` and
    `LearningRateScheduler` for the validation loss, which round the learning rate to float32.
    Keras' own cannot be saved: a resumed training would lose its best epoch and counters.
    """

    learning_rate: float
    best_loss: float | None = None
    best_epoch: int | None = None
    epochs_since_best: int = 0
    plateau_loss: float | None = None
    plateau_epochs: int = 0

    def start_epoch(self, recipe: Recipe, epoch: int) -> None:
        """Set the learning rate of a zero-based epoch."""
        decay = recipe.exponential_decay
        if decay and epoch >= decay.start:
            self.learning_rate = _float32(self.learning_rate * math.exp(-decay.rate))

    def end_epoch(self, recipe: Recipe, epoch: int, validation_loss: float) -> bool:
        """Record an epoch's validation loss; return whether it is the lowest."""
        self._watch_plateau(recipe, validation_loss)
        if self.best_loss is None or validation_loss < self.best_loss:
            self.best_loss, self.best_epoch, self.epochs_since_best = validation_loss, epoch, 0
            return True
        self.epochs_since_best += 1
        return False

    def should_stop(self, recipe: Recipe) -> bool:
        """Return whether the patience of early stopping is used up."""
        stopping = recipe.early_stopping
        return stopping is not None and self.epochs_since_best >= stopping.patience

    def _watch_plateau(self, recipe: Recipe, validation_loss: float) -> None:
        plateau = recipe.plateau
        if plateau is None:
            return
        if self.plateau_loss is None or validation_loss < self.plateau_loss - plateau.min_delta:
            self.plateau_loss, self.plateau_epochs = validation_loss, 0
            return
        self.plateau_epochs += 1
        if self.plateau_epochs >= plateau.patience:
            self.learning_rate = _float32(self.learning_rate * plateau.factor)
            self.plateau_epochs = 0


def _float32(value: float) -> float:
    return float(np.float32(value))
