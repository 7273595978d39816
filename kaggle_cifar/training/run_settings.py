"""The settings of a run: written at its start, checked later."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.data.dataset import TrainingSet
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import read_json, write_json
from kaggle_cifar.models.weights import check_weights
from kaggle_cifar.ownership import ForeignPathError, require_own_folder
from kaggle_cifar.recipes import Recipe, check_same_network
from kaggle_cifar.tensorflow_setup import describe_environment
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run, require_file


class ValidationRequiredError(UserError):
    """A recipe needs validation images; `recipe` is its name."""

    def __init__(self, recipe: str) -> None:
        super().__init__(
            f"The recipe {recipe} uses the validation loss for its learning rate or to stop, so "
            "--validation none is not possible. Use last20 or stratified, or another recipe."
        )
        self.recipe = recipe


class RunExistsError(UserError):
    """The run in `folder` has other settings, listed in `differences`."""

    def __init__(self, folder: Path, differences: Sequence[str]) -> None:
        super().__init__(
            f"The run {folder} exists with other settings ({'; '.join(differences)}). Use another "
            "--name, or its own settings to resume it."
        )
        self.folder, self.differences = folder, differences


class DataChangedError(UserError):
    """The training data is not that of the run in `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"The training images or labels have changed since {folder} was started. Restore "
            "them, or use another --name to train on the new data."
        )
        self.folder = folder


def check_recipe_options(recipe: Recipe, options: RunOptions) -> None:
    """Raise a ValidationRequiredError if the recipe needs validation."""
    if options.validation == "none" and (recipe.early_stopping or recipe.plateau):
        raise ValidationRequiredError(recipe.name)


def require_run_folder(run: Run) -> None:
    """Raise a RunFileError or a ForeignPathError unless the run can be trained there."""
    run.require_description()
    if not run.description_file.exists():
        require_own_folder(run.folder, "a run")
        return
    run.read_recipe()
    if os.path.lexists(run.metrics_file):
        require_file(run.metrics_file)
    if run.finished or run.checkpoint_file.exists():
        return
    # Training would start at the first epoch and replace these files.
    for path in _result_files(run):
        raise ForeignPathError(
            path,
            f"{path} exists, but {run.folder} has neither a checkpoint nor "
            f"{run.metrics_file.name}, so training would replace it. Restore the missing file, "
            "move this one away, or use another --name.",
        )


def _result_files(run: Run) -> Iterator[Path]:
    """Yield the files that a run does not have before its first checkpoint."""
    for pattern in (run.weights_file.name, "summary.txt", "*_probabilities*.npy"):
        yield from run.folder.glob(pattern)
    if os.path.lexists(run.history_file):  # a valid one stays if the checkpoint is deleted
        try:
            run.read_history()
        except UserError:
            yield run.history_file


def with_fitted_epochs(run: Run, recipe: Recipe, options: RunOptions) -> Recipe:
    """Return the recipe with the epochs that fitted its time budget."""
    if not (options.time_budget and run.description_file.exists()):
        return recipe
    return dataclasses.replace(recipe, epochs=run.read_recipe()[0].epochs)


def check_finished(run: Run, recipe: Recipe, options: RunOptions) -> bool:
    """Return whether the run is finished and can be used.

    Raises
    ------
    RunExistsError
        If it exists with another recipe or other options.
    ChangedNetworkError
        If the file of its network has changed.
    RunFileError, WeightsError
        If it is finished and its weights are missing or damaged.
    """
    if not run.description_file.exists():
        return False
    old_recipe, old_options = run.read_recipe()
    check_same_network(old_recipe, recipe, run.description_file)
    differences = _differences(old_recipe, recipe) + _differences(old_options, options)
    if differences:
        raise RunExistsError(run.folder, differences)
    if run.finished:
        run.require_finished()
        check_weights(run.weights_file)
    return run.finished


def _differences(old: Recipe | RunOptions, new: Recipe | RunOptions) -> list[str]:
    before, now = dataclasses.asdict(old), dataclasses.asdict(new)
    return [
        f"{'recipe' if key == 'name' else key}: {_as_json(before[key])}, now {_as_json(value)}"
        for key, value in now.items()
        if value != before[key] and key != "network_source"
    ]


def _as_json(value: Any) -> str:
    """Return a value as JSON, a whole number without its fraction."""
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value)


def hash_data(data: TrainingSet) -> str:
    """Return the SHA-256 of the ids, labels and pixels."""
    digest = hashlib.sha256()
    for array in (data.ids, data.labels, data.pixels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def check_data(run: Run, data_sha256: str) -> None:
    """Raise a DataChangedError if the run was started with other data."""
    if not run.description_file.exists():
        return
    if read_json(run.description_file).get("data_sha256") != data_sha256:
        raise DataChangedError(run.folder)


def write_settings(run: Run, recipe: Recipe, options: RunOptions, data_sha256: str) -> None:
    """Write run.json, which marks the folder as a run, then environment.json."""
    if not run.description_file.exists():
        content = {
            "recipe": dataclasses.asdict(recipe),
            "options": dataclasses.asdict(options),
            "data_sha256": data_sha256,
        }
        write_json(run.description_file, content)
    if not run.environment_file.exists():
        write_json(run.environment_file, describe_environment())
