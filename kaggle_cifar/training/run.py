"""A run folder: its files, their content, its trained network."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import models
from kaggle_cifar.errors import PathError, UserError
from kaggle_cifar.fields import (
    COUNT,
    FROM_0,
    NUMBER,
    SECONDS,
    SHARE,
    TEXT,
    TEXTS,
    DamagedFileError,
    Kinds,
    check_values,
    optional,
)
from kaggle_cifar.files import read_json
from kaggle_cifar.models.own_network import require_allowed
from kaggle_cifar.models.weights import load_weights
from kaggle_cifar.ownership import kind_of_file, sha256
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.recipes.validation import from_json
from kaggle_cifar.tensorflow_setup import dtype_policy
from kaggle_cifar.training.history import read_history
from kaggle_cifar.training.options import RunOptions

if TYPE_CHECKING:
    import keras

DESCRIPTION: Kinds = {
    "recipe": {"name": TEXT, "network": TEXT, "epochs": FROM_0},
    "options": {
        "seed": COUNT,
        "limit": optional(COUNT),
        "validation": TEXT,
        "time_budget": optional(SECONDS),
        "search": optional(TEXT),
    },
}
ENVIRONMENT: Kinds = {"machine": {"processor": TEXT, "cores": COUNT, "gpus": TEXTS}}
METRICS: Kinds = {
    "recipe": TEXT,
    "seed": COUNT,
    "parameters": COUNT,
    "petaflop": FROM_0,
    "epochs": COUNT,
    "best_epoch": COUNT,
    "seconds": SECONDS,
    "train_images": COUNT,
    "train_loss": NUMBER,
    "train_accuracy": SHARE,
    "validation": TEXT,
    "validation_images": COUNT,
    "validation_loss": NUMBER,
    "validation_accuracy": SHARE,
    "validation_standard_error": SHARE,
    "validation_accuracy_tta": SHARE,
}
REQUIRED_METRICS = ("parameters", "epochs", "seconds", "validation_images")


class RunUnfinishedError(UserError):
    """A run has no result yet; `run` is its name."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"The run {run} is not finished. Run its `kaggle-cifar train` command again to "
            "resume it."
        )
        self.run = run


class RunFileError(PathError):
    """A file of a run is missing, or something else has its `path`."""

    def __init__(self, path: Path) -> None:
        fault = (
            f"is {kind_of_file(path.stat().st_mode)}, not a file" if path.exists() else "is missing"
        )
        super().__init__(path, f"{path} {fault}. {how_to_replace(path)}")


class NotValidatedError(UserError):
    """A run was trained without validation images; `run` is its name."""

    def __init__(self, run: str) -> None:
        super().__init__(f"The run {run} was trained without validation images.")
        self.run = run


@dataclass(frozen=True)
class Run:
    """A run folder and the files in it."""

    folder: Path

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self.folder.name

    @property
    def description_file(self) -> Path:
        """The recipe and options, written before anything else."""
        return self.folder / "run.json"

    @property
    def environment_file(self) -> Path:
        """The machine on which the training started, and its package versions."""
        return self.folder / "environment.json"

    @property
    def weights_file(self) -> Path:
        """The trained weights."""
        return self.folder / "model.weights.h5"

    @property
    def metrics_file(self) -> Path:
        """The metrics of the result, written last: then the run is finished."""
        return self.folder / "metrics.json"

    @property
    def checkpoint_file(self) -> Path:
        """The state of an unfinished training."""
        return self.folder / "checkpoint" / "state.npz"

    @property
    def history_file(self) -> Path:
        """A row for each epoch so far."""
        return self.folder / "history.csv"

    @property
    def events_folder(self) -> Path:
        """The event files for TensorBoard, if they were asked for."""
        return self.folder / "tensorboard"

    def probabilities_file(self, images: str, views: str) -> Path:
        """Return the path of the probabilities of "validation" or "test" images."""
        suffix = "" if views == "plain" else f"-{views}"
        return self.folder / f"{images}_probabilities{suffix}.npy"

    @property
    def started(self) -> float:
        """When the training started, in seconds since 1970."""
        return self.description_file.stat().st_mtime

    @property
    def finished(self) -> bool:
        """Whether the training has ended and all its files are written."""
        return self.metrics_file.is_file()

    @property
    def has_result(self) -> bool:
        """Whether the training has ended, even if a file of the result was lost since."""
        return os.path.lexists(self.metrics_file) or (
            self.weights_file.exists() and not self.checkpoint_file.exists()
        )

    @property
    def has_lost_description(self) -> bool:
        """Whether run.json is missing, although a training left its weights or its checkpoint."""
        is_trained = self.weights_file.exists() or self.checkpoint_file.exists()
        return is_trained and not os.path.lexists(self.description_file)

    def require_description(self) -> None:
        """Raise a RunFileError if run.json is lost."""
        if self.has_lost_description:
            raise RunFileError(self.description_file)

    def require_finished(self) -> None:
        """Raise a RunUnfinishedError, or a RunFileError if the result lacks a file."""
        if not self.has_result:
            raise RunUnfinishedError(self.name)
        for path in (self.description_file, self.metrics_file, self.weights_file):
            require_file(path)

    def read_recipe(self) -> tuple[Recipe, RunOptions]:
        """Return the run's recipe and options.

        Raises
        ------
        DamagedFileError
            If run.json does not hold a valid recipe and options.
        RunFileError
            If it is missing.
        UserError
            If it is not JSON.
        """
        content = self.read_description()
        try:
            recipe: Recipe = from_json(Recipe, content["recipe"])
            options: RunOptions = from_json(RunOptions, content["options"], "options")
        except (TypeError, UserError) as error:
            fault = f"it does not hold a recipe and options ({str(error).rstrip('.')})"
            raise DamagedFileError(self.description_file, [fault], {}) from None
        return recipe, options

    def read_description(self) -> dict[str, Any]:
        """Return the content of run.json, which may have unknown keys.

        Raises
        ------
        DamagedFileError
            If a value is invalid.
        """
        return _read_values(self.description_file, DESCRIPTION, ("recipe", "options"))

    def read_environment(self) -> dict[str, Any]:
        """Return the content of environment.json; raises as `read_description`."""
        if not os.path.lexists(self.environment_file):
            raise UserError(
                f"{self.environment_file} is missing, so the machine is unknown. Restore the file "
                "if you can. No other command needs it."
            )
        return _read_values(self.environment_file, ENVIRONMENT)

    def read_metrics(self) -> dict[str, Any]:
        """Return the metrics of a finished run.

        Raises
        ------
        DamagedFileError
            If a metric is missing or has an invalid value.
        """
        metrics = _read_values(self.metrics_file, METRICS, REQUIRED_METRICS)
        if metrics["validation_images"] and "validation_accuracy" not in metrics:
            missing = ["validation_accuracy is missing"]
            raise DamagedFileError(self.metrics_file, missing, metrics)
        return metrics

    def read_validation_accuracy(self) -> float:
        """Return the accuracy of a finished run on its validation images.

        Raises as `read_metrics`, and a NotValidatedError if the run has no such images.
        """
        metrics = self.read_metrics()
        if not metrics["validation_images"]:
            raise NotValidatedError(self.name)
        return float(metrics["validation_accuracy"])

    def read_history(self) -> list[dict[str, Any]]:
        """Return a row for each epoch so far.

        Raises as `history.read_history`, and a RunFileError if the training has ended and the file
        is missing.
        """
        if self.has_result:
            require_file(self.history_file)
        return read_history(self.history_file)

    def load_model(self, policy: str | None = None) -> "keras.Model":
        """Build the network of the recipe and load its weights.

        Only a network of the user's own is executed, from the run's copy, if the user allowed it
        on this machine. The Keras dtype policy is by default the recipe's precision on this
        machine, so that all predictions of a run are made in the same precision. Raises as
        `require_finished` and `load_weights`.
        """
        self.require_finished()
        recipe, _ = self.read_recipe()
        if recipe.network_source:
            require_allowed(recipe.network, recipe.network_source, self.description_file)
            print(f"{self.name} uses its copy of {recipe.network}.", file=sys.stderr, flush=True)
        policy = policy or dtype_policy(recipe.precision)
        model = models.build(recipe.network, recipe.network_options, policy, recipe.network_source)
        load_weights(model, self.weights_file)
        return model

    def weights_sha256(self) -> str:
        """Return the digest that identifies the weights in derived files."""
        return sha256(self.weights_file)


def require_file(path: Path) -> None:
    """Raise a RunFileError unless a file of a run exists and is a regular file."""
    if not path.is_file():
        raise RunFileError(path)


def how_to_replace(path: Path) -> str:
    """Return the sentence on what to do about a missing or damaged file of a run."""
    return f"Restore the file, or move {path.parent} away and train the run again."


def _read_values(path: Path, kinds: Kinds, required: Sequence[str] = ()) -> dict[str, Any]:
    require_file(path)
    values, faults = check_values(read_json(path, how_to_replace(path)), kinds, required)
    if faults:
        raise DamagedFileError(path, faults, values)
    return values
