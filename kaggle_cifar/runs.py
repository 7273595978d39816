"""Run folders: what a run was asked for, whether it is finished, its network with weights."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import networks
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import require_own_folder
from kaggle_cifar.recipes import Recipe, require_name
from kaggle_cifar.runtime import dtype_policy
from kaggle_cifar.storage import Layout, from_json, read_json
from kaggle_cifar.weights import load_weights

if TYPE_CHECKING:
    import keras

VALIDATION_SPLITS = ("last20", "stratified", "none")


@dataclass(frozen=True)
class RunOptions:
    """What decides a run beside its recipe and the data; saved with it."""

    seed: int = 0
    limit: int | None = None  # training images, stratified; None is all
    validation: str = "last20"
    mixed_precision: bool = False
    time_budget: float | None = None  # seconds, into which the epochs were fitted
    search: str | None = None  # the search that the run is a trial of


@dataclass(frozen=True)
class Run:
    """A run folder and the files in it."""

    folder: Path

    @property
    def name(self) -> str:
        """The name under which the run is trained and used."""
        return self.folder.name

    @property
    def recipe_file(self) -> Path:
        """The recipe and options, written before anything else."""
        return self.folder / "recipe.json"

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
        return self.recipe_file.stat().st_mtime

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
        if self.recipe_file.exists():
            self.read_recipe()
        else:
            require_own_folder(self.folder, "a run")

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
            When recipe.json is missing, torn, or holds what no recipe has.
        """
        content = read_json(self.recipe_file)
        try:
            return (
                from_json(Recipe, content["recipe"]),
                from_json(RunOptions, content["options"]),
            )
        except (KeyError, TypeError, UserError) as error:
            raise UserError(f"{self.recipe_file} does not hold a run's recipe: {error}.") from None

    def is_trial(self) -> bool:
        """Return whether the run is a trial of a search; of runs of other versions, too."""
        try:
            return bool(read_json(self.recipe_file)["options"].get("search"))
        except (UserError, KeyError, TypeError, AttributeError):
            return False

    def read_metrics(self) -> dict[str, Any]:
        """Return the figures of a finished run."""
        metrics = read_json(self.metrics_file)
        if not isinstance(metrics, dict):
            raise UserError(f"{self.metrics_file} does not hold a run's figures. Train it again.")
        return metrics

    def read_history(self) -> list[dict[str, Any]]:
        """Return a row for each epoch so far, None where a cell is empty."""
        import pandas as pd

        if not self.history_file.exists():
            return []
        try:
            table = pd.read_csv(self.history_file)
            table["epoch"]
        except (ValueError, KeyError) as error:
            raise UserError(
                f"{self.history_file} is torn or not a run's history ({error})."
            ) from None
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        return [{str(key): value for key, value in row.items()} for row in rows]

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
        policy = policy or dtype_policy(recipe.precision)
        model = networks.build(recipe.network, recipe.network_options, policy)
        load_weights(model, self.weights_file)
        return model

    def weights_sha256(self) -> str:
        """Return the digest of the weights' file, by which derived files know them."""
        with self.weights_file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def named_run(layout: Layout, name: str) -> Run:
    """Return the run of that name, which need not be there.

    Raises
    ------
    InvalidNameError
        When the name could lead out of the folder of runs or into another run's, or Windows
        reserves it.
    """
    require_name("run", name)
    return Run(layout.runs / name)


def find_run(layout: Layout, name: str) -> Run:
    """Return the run of that name.

    Raises
    ------
    UserError
        When there is none; it lists those there are.
    """
    run = named_run(layout, name)
    if not run.recipe_file.exists():
        there = ", ".join(run.name for run in all_runs(layout)) or "none yet"
        raise UserError(
            f"There is no run {name!r} in {layout.runs}. Runs: {there}. "
            "`kaggle-cifar train` makes one."
        )
    return run


def chosen_runs(layout: Layout, names: Sequence[str]) -> list[Run]:
    """Return the runs of these names, or, where none is named, the newest finished one.

    Raises
    ------
    UserError
        When a name is unknown or given twice.
    """
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"The run {twice[0]} was named twice. Name each run once.")
    return [find_run(layout, name) for name in names] or [newest_finished_run(layout)]


def all_runs(layout: Layout) -> list[Run]:
    """Return all runs, the one that was started first in front."""
    files = layout.runs.glob("*/recipe.json")
    return [Run(file.parent) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def newest_finished_run(layout: Layout) -> Run:
    """Return the run that finished last, trials of searches left aside.

    Raises
    ------
    UserError
        When none has finished.
    """
    finished = [run for run in all_runs(layout) if run.finished and not run.is_trial()]
    if not finished:
        raise UserError(
            f"There is no finished run in {layout.runs}. Train one first: `kaggle-cifar train`."
        )
    return max(finished, key=lambda run: run.metrics_file.stat().st_mtime_ns)
