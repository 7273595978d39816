"""Run folders: what a run was asked for, whether it is finished, its network with weights."""

import csv
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import models
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import (
    COUNT,
    FROM_0,
    NUMBER,
    SECONDS,
    SHARE,
    TEXT,
    TEXTS,
    DamagedFileError,
    Kind,
    Kinds,
    check_values,
    optional,
)
from kaggle_cifar.files import ProjectPaths, from_json, read_json
from kaggle_cifar.models.own_network import require_allowed
from kaggle_cifar.models.weights import load_weights
from kaggle_cifar.ownership import (
    ForeignPathError,
    regular_file,
    require_own_folder,
    sha256,
)
from kaggle_cifar.recipes import Recipe, number, require_name, validate, whole_number
from kaggle_cifar.tensorflow_setup import dtype_policy

if TYPE_CHECKING:
    import keras

VALIDATION_SPLITS = ("last20", "stratified", "none")
LARGEST_SEED = 2**32 - 1  # that NumPy's global generator takes
LONGEST_BUDGET = 1000 * 3600.0  # seconds

# The values in a run's files, whatever version wrote them.
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
NEEDED_METRICS = ("parameters", "epochs", "seconds", "validation_images")
HISTORY: dict[str, Kind] = {
    "epoch": COUNT,
    "loss": NUMBER,
    "accuracy": SHARE,
    "val_loss": optional(NUMBER),
    "val_accuracy": optional(SHARE),
    "learning_rate": FROM_0,
    "seconds": SECONDS,
}


def is_validation(name: str) -> bool:
    """Return whether a validation split has that name: one of the three, or a fold of equal parts.

    A fold is named like "fold1of10".
    """
    fold = re.fullmatch(r"fold(\d{1,9})of(\d{1,9})", name, re.ASCII)
    return name in VALIDATION_SPLITS or bool(fold and 1 <= int(fold[1]) <= int(fold[2]) > 1)


@dataclass(frozen=True)
class RunOptions:
    """What decides a run beside its recipe and the data; saved with it.

    Raises
    ------
    SettingError
        When a value is one that no training could use.
    """

    seed: int = 0
    limit: int | None = None  # training images, stratified; None is all
    validation: str = "last20"
    mixed_precision: bool = False
    time_budget: float | None = None  # seconds, into which the epochs were fitted
    search: str | None = None  # the search that the run is a trial of

    def __post_init__(self) -> None:
        splits = ", ".join(VALIDATION_SPLITS)
        validate(
            self,
            seed=whole_number(0, LARGEST_SEED),
            limit=optional(whole_number(1)),
            time_budget=optional(number(0, LONGEST_BUDGET)),
            validation=Kind(f"one of {splits} or a fold like fold1of10", is_validation),
        )


@dataclass(frozen=True)
class Run:
    """A run folder and the files in it."""

    folder: Path

    @property
    def name(self) -> str:
        """The name under which the run is trained and used."""
        return self.folder.name

    @property
    def description_file(self) -> Path:
        """The recipe and options, written before anything else."""
        return self.folder / "run.json"

    @property
    def environment_file(self) -> Path:
        """The machine that the training began on, and its versions."""
        return self.folder / "environment.json"

    @property
    def weights_file(self) -> Path:
        """The recipe's result."""
        return self.folder / "model.weights.h5"

    @property
    def metrics_file(self) -> Path:
        """The figures of the result, written last: with it the run is finished."""
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
        """What TensorBoard reads, where it was asked for."""
        return self.folder / "tensorboard"

    @property
    def started(self) -> float:
        """When the training began, in seconds since 1970."""
        return self.description_file.stat().st_mtime

    def probabilities_file(self, images: str, views: str) -> Path:
        """Return the place of the probabilities of "validation" or "test" images."""
        suffix = "" if views == "plain" else f"-{views}"
        return self.folder / f"{images}_probabilities{suffix}.npy"

    @property
    def finished(self) -> bool:
        """Whether training has ended and all its files are there."""
        return self.metrics_file.exists()

    def require_own_folder(self) -> None:
        """Raise a UserError unless the folder is new, empty, or a run's."""
        if not self.description_file.exists():
            require_own_folder(self.folder, "a run")
            return
        self.read_recipe()
        if self.finished or self.checkpoint_file.exists():
            return
        # A copied recipe makes no run, and a result without figures is not to be trained over.
        for path in self._results():
            raise ForeignPathError(
                path,
                f"{path} is there, but {self.folder} has neither a checkpoint nor "
                f"{self.metrics_file.name}: a training would begin at the first epoch and replace "
                "it. Restore what is missing, move the file away, or choose another --name.",
            )

    def _results(self) -> Iterator[Path]:
        """Yield the files that a training with its first checkpoint ahead cannot have written."""
        for pattern in (self.weights_file.name, "summary.txt", "*_probabilities*.npy"):
            yield from self.folder.glob(pattern)
        if os.path.lexists(self.history_file):  # stays if somebody deletes the checkpoint
            try:
                self.read_history()
            except UserError:
                yield self.history_file

    def require_finished(self) -> None:
        """Raise a UserError unless training has ended and left its result."""
        if not self.finished:
            raise UserError(
                f"The run {self.name} is not finished: go on with it by the same "
                "`kaggle-cifar train` command first."
            )
        if not self.weights_file.exists():
            raise UserError(
                f"{self.weights_file} is missing. Restore it, or delete the run {self.folder} and "
                "train it again."
            )

    def read_recipe(self) -> tuple[Recipe, RunOptions]:
        """Return what the run was asked for.

        Raises
        ------
        UserError
            When run.json is missing, torn, or holds what no recipe has.
        """
        content = read_json(self.description_file)
        try:
            return (
                from_json(Recipe, content["recipe"]),
                from_json(RunOptions, content["options"]),
            )
        except (KeyError, TypeError, UserError) as error:
            raise UserError(
                f"{self.description_file} does not hold a run's recipe: {error}."
            ) from None

    def is_trial(self) -> bool:
        """Return whether the run is a trial of a search; of runs of other versions, too."""
        try:
            return bool(read_json(self.description_file)["options"].get("search"))
        except (UserError, KeyError, TypeError, AttributeError):
            return False

    def read_description(self) -> dict[str, Any]:
        """Return what run.json holds, whatever version wrote it.

        Raises
        ------
        DamagedFileError
            When it holds values that no version writes.
        """
        return _read_values(self.description_file, DESCRIPTION, ("recipe", "options"))

    def read_environment(self) -> dict[str, Any]:
        """Return what environment.json says of the machine; raises as `read_description`."""
        return _read_values(self.environment_file, ENVIRONMENT)

    def read_metrics(self) -> dict[str, Any]:
        """Return the figures of a finished run.

        Raises
        ------
        DamagedFileError
            When figures are missing, or are no numbers that they can be.
        """
        metrics = _read_values(self.metrics_file, METRICS, NEEDED_METRICS)
        if metrics["validation_images"] and "validation_accuracy" not in metrics:
            missing = ["validation_accuracy is missing"]
            raise DamagedFileError(self.metrics_file, missing, metrics)
        return metrics

    def read_validation_accuracy(self) -> float:
        """Return the accuracy of a finished run on its validation images.

        Raises
        ------
        UserError
            When the figures are damaged or the run has no validation images.
        """
        metrics = self.read_metrics()
        if not metrics["validation_images"]:
            raise UserError(f"The run {self.name} was trained without validation images.")
        return float(metrics["validation_accuracy"])

    def read_history(self) -> list[dict[str, Any]]:
        """Return a row for each epoch so far with all keys of HISTORY.

        Without validation, val_loss and val_accuracy are None.

        Raises
        ------
        DamagedFileError
            When a column is missing or a cell is no number that it can be. In what is readable,
            such cells are None, and rows from the first on without its epoch's number are left
            out.
        """
        if not self.history_file.exists():
            return []
        rows, faults = _parse_history(_read_text(self.history_file))
        if faults:
            raise DamagedFileError(self.history_file, faults, rows)
        return rows

    def load_model(self, policy: str | None = None) -> "keras.Model":
        """Rebuild the network from the recipe and load its weights; no file is executed.

        It computes as the Keras dtype policy says, by default in the recipe's precision on this
        machine: every prediction of a run is made in the same one.

        Raises
        ------
        UserError
            When the run is unfinished, or the weights are refused or do not fit.
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
        """Return the digest of the weights' file, by which derived files know them."""
        return sha256(self.weights_file)


def named_run(project: ProjectPaths, name: str) -> Run:
    """Return the run of that name, which need not be there.

    Raises
    ------
    InvalidNameError
        When the name could lead out of the folder of runs or into another run's, or Windows
        reserves it.
    """
    require_name("run", name)
    return Run(project.runs / name)


def find_run(project: ProjectPaths, name: str) -> Run:
    """Return the run of that name.

    Raises
    ------
    UserError
        When there is none; it lists those there are.
    """
    run = named_run(project, name)
    if not run.description_file.exists():
        there = ", ".join(run.name for run in all_runs(project)) or "none yet"
        raise UserError(
            f"There is no run {name!r} in {project.runs}. Runs: {there}. "
            "`kaggle-cifar train` makes one."
        )
    return run


def chosen_runs(project: ProjectPaths, names: Sequence[str]) -> list[Run]:
    """Return the runs of these names, or, where none is named, the newest finished one.

    Raises
    ------
    UserError
        When a name is unknown or given twice.
    """
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"The run {twice[0]} was named twice. Name each run once.")
    return [find_run(project, name) for name in names] or [newest_finished_run(project)]


def all_runs(project: ProjectPaths) -> list[Run]:
    """Return all runs, the one that was started first in front."""
    files = project.runs.glob("*/run.json")
    return [Run(file.parent) for file in sorted(files, key=lambda file: file.lstat().st_mtime_ns)]


def newest_finished_run(project: ProjectPaths) -> Run:
    """Return the run that finished last, trials of searches left aside.

    Raises
    ------
    UserError
        When none has finished.
    """
    finished = [run for run in all_runs(project) if run.finished and not run.is_trial()]
    if not finished:
        raise UserError(
            f"There is no finished run in {project.runs}. Train one first: `kaggle-cifar train`."
        )
    return max(finished, key=lambda run: run.metrics_file.stat().st_mtime_ns)


def _read_values(path: Path, kinds: Kinds, required: Sequence[str] = ()) -> dict[str, Any]:
    values, faults = check_values(read_json(path), kinds, required)
    if faults:
        raise DamagedFileError(path, faults, values)
    return values


def _read_text(path: Path) -> str:
    try:
        return regular_file(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DamagedFileError(path, ["it is not UTF-8 text"], []) from None


def _parse_history(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a history.csv that can be read, and a fault for each other cell."""
    rows: list[dict[str, Any]] = []
    reader = csv.DictReader(io.StringIO(text))
    try:
        columns = set(reader.fieldnames or ())
        faults = [f"the column {key} is missing" for key in HISTORY if key not in columns]
        kinds = {key: kind for key, kind in HISTORY.items() if key in columns}
        for number, cells in enumerate(reader, start=1):
            numbers = {key: _parse_cell(cells[key]) for key in kinds}
            values, wrong = check_values(numbers, kinds, prefix=f"row {number}: ")
            faults += wrong
            if values.get("epoch") != number:
                faults.append(f"row {number}: epoch must be {number}")
                break
            rows.append(dict.fromkeys(HISTORY) | values)
    except csv.Error as error:
        faults = [f"it is not a table ({error})"]
    return rows, faults


def _parse_cell(cell: str | None) -> float | str | None:
    """Return the number in a cell, None for an empty one, the text for any other."""
    if not cell:
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell
