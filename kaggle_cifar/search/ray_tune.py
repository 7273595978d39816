"""The trials of a search, run by Ray Tune.

Each trial is an ordinary run, which keeps its own state. Tune's checkpoints are not needed: a
trial resumes in any process that opens its run folder.
"""

import dataclasses
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, ProjectPaths, read_json, write_json
from kaggle_cifar.ownership import RESERVED, remove_reserved
from kaggle_cifar.search.optuna_space import to_distributions
from kaggle_cifar.search.search_space import GRID_DRAW, Setting, Space, draw_from_grid
from kaggle_cifar.search.tasks import (
    TRIES,
    last_line,
    limit_tensorflow,
    retry_message,
    retry_while_busy,
)
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train_by_epochs

METRIC = "val_accuracy"
REDUCTION_FACTOR = 4  # of ASHA: one in four trials continues at each rung
FIRST_RUNG = 10  # the first rung is at a tenth of the largest number of epochs

Watch = Callable[[Sequence[str]], None]  # gets the trials' names
Note = Callable[[str], None]  # gets a line for the user
Journal = dict[str, dict[str, Any]]  # "config" and "ended" of each trial by its name


@dataclass(frozen=True)
class SearchConfig:
    """Everything that decides a search."""

    project: ProjectPaths  # absolute, on storage that all nodes see
    name: str
    space: Space
    sampler: str
    trials: int
    options: RunOptions
    time_budget: float | None = None  # seconds
    ended: frozenset[str] = frozenset()  # trials that ended or were stopped earlier

    @property
    def tune_folder(self) -> Path:
        """The folder that Tune needs while it runs; it is removed afterwards."""
        return self.project.runs / self.name / f"{RESERVED}.tune"

    @property
    def journal_file(self) -> Path:
        """The trials that were started."""
        return self.project.runs / self.name / "trials.json"


class JournalError(UserError):
    """The file of a search's trials at `path` holds something else."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} does not hold the trials of a search. Restore the file, or use another --name."
        )
        self.path = path


class Trial(tune.Trainable):
    """A run, trained one epoch a step; a process runs several trials, one by one."""

    def setup(self, config: dict[str, Any], search: SearchConfig) -> None:  # type: ignore[override]
        """Start the first trial of this process."""
        limit_tensorflow()
        self.search = search
        self._start(config)

    def _start(self, config: dict[str, Any]) -> None:
        search, name = self.search, self.trial_name
        self.run = Run(search.project.runs / name)
        self.error: UserError | None = None
        try:
            space = search.space
            self.recipe = space.apply(space.from_config(config), f"{space.recipe.name}-{name}")
            self._open()
        except UserError as error:
            self.error = error

    def _open(self) -> None:
        search = self.search
        self.epochs = train_by_epochs(search.project, self.recipe, self.run.name, search.options)

    def _train_epoch(self) -> dict[str, Any]:
        """Return the next epoch's row, or the last row of a run that has ended."""
        if self.run.name in self.search.ended and (history := self.run.read_history()):
            return history[-1]
        try:
            return next(self.epochs, None) or self.run.read_history()[-1]
        except BusyError:
            self._open()
            raise

    def step(self) -> dict[str, Any]:
        """Train an epoch; a trial that cannot be trained scores 0."""
        try:
            if self.error:
                raise self.error
            row = retry_while_busy(self._train_epoch)
        except UserError as error:
            failure = {"error": str(error), "epoch": 0, METRIC: 0.0}
            return {"run": self.run.name, **failure, "done": True}
        return {
            "run": self.run.name,
            "epoch": row["epoch"],
            METRIC: row["val_accuracy"],
            "done": self.run.finished or self.run.name in self.search.ended,
        }

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Start another trial; the previous one may have been stopped early."""
        self.cleanup()
        self._start(config)
        return True

    def cleanup(self) -> None:
        """Close the run, so that another process can open it."""
        if not self.error:
            self.epochs.close()


class Watcher(tune.Callback):
    """Records the trials in the journal, shows them, and notes which are started again."""

    def __init__(self, journal_file: Path, watch: Watch, note: Note) -> None:
        self.journal_file, self.watch, self.note = journal_file, watch, note
        self.trials = read_journal(journal_file)
        self.tries: dict[str, int] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial before it is trained."""
        entry = self.trials.setdefault(str(trial), {"ended": False})
        entry["config"] = dict(trial.config)
        write_json(self.journal_file, self.trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial has ended or was stopped."""
        if str(trial) in self.trials:
            self.trials[str(trial)]["ended"] = True
            write_json(self.journal_file, self.trials)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the trials."""
        self.watch([str(trial) for trial in trials])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial is started again."""
        name = str(trial)
        self.tries[name] = self.tries.get(name, 1) + 1
        self.note(retry_message(name, last_line(trial.get_error()), self.tries[name]))


def read_journal(file: Path) -> Journal:
    """Return the trials that a search has started, in order.

    Raises
    ------
    JournalError
        If the file holds anything else.
    """
    trials = read_json(file) if file.exists() else {}
    is_journal = isinstance(trials, dict) and all(
        re.search(r"trial\d+$", name)
        and isinstance(trial, dict)
        and isinstance(trial.get("config"), dict)
        and isinstance(trial.get("ended"), bool)
        for name, trial in trials.items()
    )
    if not is_journal:
        raise JournalError(file)
    return {name: trials[name] for name in sorted(trials, key=trial_number)}


def trial_number(name: str) -> int:
    """Return the number at the end of a trial's name."""
    return int(name.rpartition("trial")[2])


def run_trials(
    search: SearchConfig, resources: dict[str, float], watch: Watch, note: Note
) -> dict[str, tuple[Setting, str | None]]:
    """Train the trials of a new or an interrupted search.

    Tune starts again each time, with the earlier trials first: they find their runs as they left
    them. Tune's own way to resume forgets what happened since its last snapshot.

    Returns each trial's setting by the name of its run, and the error of a failed one. Trials
    that were stopped early are unfinished runs.
    """
    silence_libraries()
    remove_reserved(search.tune_folder)
    started = read_journal(search.journal_file)
    ended = frozenset(name for name, trial in started.items() if trial["ended"])
    search = dataclasses.replace(search, ended=ended)
    watcher = Watcher(search.journal_file, watch, note)
    errors = trial_errors(new_tuner(search, started, resources, watcher).fit())
    remove_reserved(search.tune_folder)
    return {
        name: (search.space.from_config(trial["config"]), errors.get(name))
        for name, trial in read_journal(search.journal_file).items()
    }


def silence_libraries() -> None:
    """Let this program print the progress, not Ray and Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"(ray|optuna)\.")


def trial_errors(results: tune.ResultGrid) -> dict[str, str | None]:
    """Return the error of each trial, or None, by the trial's name."""
    errors = {}
    for result in (results[number] for number in range(len(results))):
        metrics = result.metrics or {}
        name = metrics.get("run", Path(result.path or "").name)
        died = result.error and f"it died {TRIES} times ({last_line(result.error)})"
        errors[name] = metrics.get("error", died)
    return errors


def new_tuner(
    search: SearchConfig, started: Journal, resources: dict[str, float], watcher: Watcher
) -> tune.Tuner:
    """Return the Tuner of a search, which tries the trials first that were started earlier."""

    def name_of(trial: Any) -> str:
        return f"{search.name}-trial{int(trial.experiment_tag.split('_')[0])}"

    trainable = tune.with_parameters(Trial, search=search)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources["CPU"], "gpu": resources["GPU"]}),
        tune_config=tune.TuneConfig(
            num_samples=search.trials,
            search_alg=new_search_algorithm(search, started),
            scheduler=None if search.sampler == GRID_DRAW else new_scheduler(search.space),
            time_budget_s=search.time_budget,
            reuse_actors=True,
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=search.tune_folder.name,
            storage_path=str(search.tune_folder.parent),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=TRIES - 1),
            callbacks=[watcher],
            verbose=0,
        ),
    )


def new_search_algorithm(search: SearchConfig, started: Journal) -> OptunaSearch:
    """Return what chooses the trials: the settings of the grid, or a sampler of Optuna."""
    if search.sampler == GRID_DRAW:
        first = [search.space.to_config(setting) for setting in draw_from_grid(search.trials)]
    else:
        first = [trial["config"] for trial in started.values()]
    # A sampler with the seed of an interrupted search would draw the same trials again.
    seed = int(np.random.SeedSequence((search.options.seed, len(first))).generate_state(1)[0])
    samplers = {"tpe": optuna.samplers.TPESampler}
    return OptunaSearch(
        to_distributions(search.space),
        metric=METRIC,
        mode="max",
        sampler=samplers.get(search.sampler, optuna.samplers.RandomSampler)(seed=seed),
        points_to_evaluate=first or None,
    )


def new_scheduler(space: Space) -> ASHAScheduler:
    """Return what stops trials early that are not among the best."""
    return ASHAScheduler(
        time_attr="epoch",
        metric=METRIC,
        mode="max",
        max_t=space.max_epochs,
        grace_period=max(1, space.max_epochs // FIRST_RUNG),
        reduction_factor=REDUCTION_FACTOR,
        stop_last_trials=False,
    )
