"""The state of a training: everything that its remaining steps depend on."""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar import models
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.epoch_schedule import EpochSchedule

if TYPE_CHECKING:
    import keras

    from kaggle_cifar.training.optimizers import Lookahead

Arrays = dict[str, list[np.ndarray]]
PROXY = "proxy_"  # before the names of the proxy's arrays


@dataclass
class Learner:
    """A network and its optimizer."""

    model: "keras.Model"
    optimizer: "keras.optimizers.Optimizer"

    def arrays(self) -> Arrays:
        """Return the values of all variables."""
        return {
            "model": [variable.numpy() for variable in self.model.variables],
            "optimizer": [variable.numpy() for variable in self._optimizer_variables],
            "loss_scale": [variable.numpy() for variable in self._loss_scale],
        }

    def assign(self, arrays: Arrays) -> None:
        """Set all variables to values that `arrays` returned; raises as `TrainingState.restore`."""
        _assign(self.model.variables, arrays["model"])
        _assign(self._optimizer_variables, arrays["optimizer"])
        # Another precision has no loss scale, or starts with its own.
        if self._loss_scale and "loss_scale" in arrays:
            _assign(self._loss_scale, arrays["loss_scale"])

    @property
    def _optimizer_variables(self) -> list[Any]:
        optimizer = getattr(self.optimizer, "inner_optimizer", self.optimizer)
        return list(optimizer.variables)

    @property
    def _loss_scale(self) -> list[Any]:
        if not hasattr(self.optimizer, "dynamic_scale"):
            return []
        return [self.optimizer.dynamic_scale, self.optimizer.step_counter]


@dataclass
class TrainingState(Learner):
    """A network and its optimizer between two steps, and the epochs so far."""

    lookahead: "Lookahead | None"
    proxy: Learner | None  # for filtering
    schedule: EpochSchedule
    epoch: int = 0  # the current one, from zero
    step: int = 0  # the next one in it, from zero
    totals: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))  # see `step`
    epoch_seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_weights: list[np.ndarray] = field(default_factory=list)  # for early stopping

    def start_next_epoch(self) -> None:
        """Move to the first step of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.totals, self.epoch_seconds = np.zeros(3, np.float32), 0.0

    def export(self) -> tuple[dict[str, Any], Arrays]:
        """Return the state as JSON values and arrays."""
        values = {
            "epoch": self.epoch,
            "step": self.step,
            "epoch_seconds": self.epoch_seconds,
            "history": self.history,
            "control": dataclasses.asdict(self.schedule),
        }
        arrays = {
            "totals": [np.asarray(self.totals)],
            **self.arrays(),
            "lookahead": [variable.numpy() for variable in self._slow_weights],
            "best_weights": self.best_weights,
        }
        if self.proxy:
            arrays |= {PROXY + name: group for name, group in self.proxy.arrays().items()}
        return values, arrays

    def restore(self, values: dict[str, Any], arrays: Arrays) -> None:
        """Set the state to one that `export` returned.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the state of such a network and optimizer.
        """
        self.epoch, self.step = values["epoch"], values["step"]
        self.epoch_seconds, self.history = values["epoch_seconds"], values["history"]
        self.schedule = EpochSchedule(**values["control"])
        self.totals = arrays["totals"][0]
        self.best_weights = arrays.get("best_weights", [])
        self.assign(arrays)
        if self.proxy:
            self.proxy.assign(
                {
                    name.removeprefix(PROXY): arrays[name]
                    for name in arrays
                    if name.startswith(PROXY)
                }
            )
        _assign(self._slow_weights, arrays.get("lookahead", []))

    @property
    def _slow_weights(self) -> list[Any]:
        return self.lookahead.slow if self.lookahead else []


def build_state(recipe: Recipe, seed: int, pixels: np.ndarray, policy: str) -> TrainingState:
    """Return the state before the first step, random by `seed`.

    `pixels` uint8 (n, 32, 32, 3) are the training images, `policy` is a Keras dtype policy.
    """
    import keras

    from kaggle_cifar.training.optimizers import Lookahead

    keras.utils.set_random_seed(seed)
    learner = build_learner(recipe, recipe.network_options, pixels, policy)
    lookahead = Lookahead(learner.model.variables) if recipe.lookahead else None
    proxy = None
    if recipe.filtering:  # last, so that the network starts as without filtering
        proxy = build_learner(recipe, recipe.filtering.network_options, pixels, policy)
    schedule = EpochSchedule(recipe.learning_rate)
    return TrainingState(learner.model, learner.optimizer, lookahead, proxy, schedule)


def build_learner(
    recipe: Recipe, network_options: dict[str, Any], pixels: np.ndarray, policy: str
) -> Learner:
    """Return the recipe's network with other options, adapted to the images, and its optimizer."""
    import keras

    from kaggle_cifar.training.optimizers import LossScale, build_optimizer

    source = recipe.network_source
    model = models.build(recipe.network, network_options, policy, source)
    models.adapt(recipe.network, model, pixels, source)
    if recipe.progressive_resizing:
        models.allow_image_size(recipe.network, model, recipe.progressive_resizing.size)
    optimizer = build_optimizer(recipe)
    if keras.DTypePolicy(policy).compute_dtype == "float16":
        optimizer = LossScale(optimizer)
    optimizer.build(model.trainable_variables)
    return Learner(model, optimizer)


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
