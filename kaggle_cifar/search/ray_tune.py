"""The trials of a search, chosen, run and stopped by Ray Tune.

Each trial is an ordinary run, which keeps its own state: Tune's checkpoints are not needed, a
trial goes on in whichever process opens its run folder next.
"""

import dataclasses
import json
import logging
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, ProjectPaths, read_json, write_json
from kaggle_cifar.ownership import RESERVED, remove_reserved
from kaggle_cifar.search.cluster import TRIES, last_line, patiently, retry_message, use_given_share
from kaggle_cifar.search.search_space import Draw, Setting, Space
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train_by_epochs

METRIC = "val_accuracy"
KEPT = 4  # ASHA's reduction factor: one of so many trials goes on at each of its rungs
FIRST_RUNG = 10  # the first rung is at this part of the most epochs
SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
}

Watch = Callable[[Sequence[str]], None]  # is given the trials' names
Note = Callable[[str], None]  # is given a line for the user


@dataclass(frozen=True)
class SearchConfig:
    """All that decides a search."""

    project: ProjectPaths  # absolute, on storage that all nodes see
    name: str
    space: Space | Draw
    sampler: str
    trials: int
    options: RunOptions
    ended: frozenset[str] = frozenset()  # trials that ended or were stopped earlier

    @property
    def folder(self) -> Path:
        """Where Tune keeps what it needs while it runs; removed afterwards."""
        return self.project.runs / self.name / f"{RESERVED}.tune"

    @property
    def journal(self) -> Path:
        """The trials that were begun."""
        return self.project.runs / self.name / "trials.json"


class Trial(tune.Trainable):
    """A run, trained an epoch a step in a process that several trials use after each other."""

    def setup(self, config: dict[str, Any], plan: SearchConfig) -> None:  # type: ignore[override]
        """Begin the first trial of this process."""
        use_given_share()
        self.plan = plan
        self._begin(config)

    def _begin(self, config: dict[str, Any]) -> None:
        plan, name = self.plan, self.trial_name
        self.run = Run(plan.project.runs / name)
        self.error: UserError | None = None
        try:
            setting = plan.space.read(config)
            self.recipe = plan.space.apply(setting, f"{plan.space.recipe.name}-{name}")
            self._open()
        except UserError as error:
            self.error = error

    def _open(self) -> None:
        plan = self.plan
        self.epochs = train_by_epochs(plan.project, self.recipe, self.run.name, plan.options)

    def _train_epoch(self) -> dict[str, Any]:
        """Return the next epoch's row, or the last one's of a run that has ended."""
        if self.run.name in self.plan.ended and (history := self.run.read_history()):
            return history[-1]
        try:
            return next(self.epochs, None) or self.run.read_history()[-1]
        except BusyError:
            self._open()
            raise

    def step(self) -> dict[str, Any]:
        """Train an epoch; a trial that cannot be trained counts as never right."""
        try:
            if self.error:
                raise self.error
            row = patiently(self._train_epoch)
        except UserError as error:
            failure = {"error": str(error), "epoch": 0, METRIC: 0.0}
            return {"run": self.run.name, **failure, "done": True}
        return {
            "run": self.run.name,
            "epoch": row["epoch"],
            METRIC: row["val_accuracy"],
            "done": self.run.finished or self.run.name in self.plan.ended,
        }

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Begin another trial; the one before may have been stopped."""
        import keras

        self.cleanup()
        keras.backend.clear_session()  # frees the memory of the network before
        self._begin(config)
        return True

    def cleanup(self) -> None:
        """Leave the run to whoever opens it next."""
        if not self.error:
            self.epochs.close()


class Watcher(tune.Callback):
    """Keeps the trials' configurations in a file, shows how they stand, says what is repeated."""

    def __init__(self, journal: Path, watch: Watch, note: Note) -> None:
        self.journal, self.watch, self.note = journal, watch, note
        self.trials = read_journal(journal)
        self.tries: dict[str, int] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note a trial before it is trained."""
        entry = self.trials.setdefault(str(trial), {"ended": False})
        entry["config"] = dict(trial.config)
        write_json(self.journal, self.trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a trial has ended or was stopped."""
        if str(trial) in self.trials:
            self.trials[str(trial)]["ended"] = True
            write_json(self.journal, self.trials)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the trials."""
        self.watch([str(trial) for trial in trials])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say that a trial is tried again."""
        name = str(trial)
        self.tries[name] = self.tries.get(name, 1) + 1
        self.note(retry_message(name, trial.get_error(), self.tries[name]))


def read_journal(file: Path) -> dict[str, dict[str, Any]]:
    """Return the trials that a search has begun, by name: "config", and whether they "ended".

    Raises
    ------
    UserError
        When the file holds anything else.
    """
    trials = read_json(file) if file.exists() else {}
    is_whole = isinstance(trials, dict) and all(
        re.search(r"trial\d+$", name)
        and isinstance(trial, dict)
        and isinstance(trial.get("config"), dict)
        and isinstance(trial.get("ended"), bool)
        for name, trial in trials.items()
    )
    if not is_whole:
        raise UserError(
            f"{file} does not hold the trials of a search. Restore the file, or choose another "
            "--name."
        )
    return trials


def run_trials(
    plan: SearchConfig,
    resources: Mapping[str, float],
    time_budget: float | None,
    watch: Watch,
    note: Note,
) -> dict[str, tuple[Setting, str | None]]:
    """Train the trials, going on with a search that was begun; end within seconds, if given.

    A search is begun anew each time, with the trials first that it has begun before: those find
    their runs as they left them. Tune's own way to go on forgets what happened since its last
    snapshot.

    Returns each trial's setting by its run's name, and the error that made it fail. Trials that
    were stopped are unfinished runs.
    """
    quiet()
    remove_reserved(plan.folder)
    begun = read_journal(plan.journal)
    plan = dataclasses.replace(
        plan, ended=frozenset(name for name, trial in begun.items() if trial["ended"])
    )
    trainable = tune.with_resources(
        tune.with_parameters(Trial, plan=plan), {"cpu": resources["CPU"], "gpu": resources["GPU"]}
    )
    points = [begun[name]["config"] for name in sorted(begun, key=trial_number)]
    watcher = Watcher(plan.journal, watch, note)
    results = new_tuner(plan, trainable, points, time_budget, watcher).fit()
    errors = {}
    for result in map(results.__getitem__, range(len(results))):
        reached = result.metrics or {}
        name = reached.get("run", Path(result.path).name)
        error = result.error and f"it broke off {TRIES} times ({last_line(result.error)})"
        errors[name] = reached.get("error", error)
    remove_reserved(plan.folder)
    trials = read_journal(plan.journal)
    return {
        name: (plan.space.read(trials[name]["config"]), errors.get(name))
        for name in sorted(trials, key=trial_number)
    }


def new_tuner(
    plan: SearchConfig,
    trainable: Any,
    points: list[dict[str, Any]],
    time_budget: float | None,
    watcher: Watcher,
) -> tune.Tuner:
    """Return the Tuner of a search, which tries the configurations `points` first."""
    first = 1 if isinstance(plan.space, Draw) else 0  # Tune counts a given list from 0

    def name_of(trial: Any) -> str:
        return f"{plan.name}-trial{int(trial.experiment_tag.split('_')[0]) + first}"

    settings: dict[str, Any] = {"num_samples": plan.trials}
    param_space = {}
    if isinstance(plan.space, Draw):
        settings["num_samples"] = 1
        param_space = {"setting": tune.grid_search(plan.space.settings)}
    else:
        # A sampler that began as the first did would draw the same trials once more.
        seed = np.random.SeedSequence((plan.options.seed, len(points))).generate_state(1)
        sampler = SAMPLERS[plan.sampler](seed=int(seed[0]))
        settings["search_alg"] = OptunaSearch(
            distributions(plan.space),
            metric=METRIC,
            mode="max",
            sampler=sampler,
            points_to_evaluate=points or None,
        )
        settings["scheduler"] = ASHAScheduler(
            time_attr="epoch",
            metric=METRIC,
            mode="max",
            max_t=plan.space.max_epochs,
            grace_period=max(1, plan.space.max_epochs // FIRST_RUNG),
            reduction_factor=KEPT,
            stop_last_trials=False,
        )
    return tune.Tuner(
        trainable,
        param_space=param_space,
        tune_config=tune.TuneConfig(
            **settings,
            time_budget_s=time_budget,
            reuse_actors=True,
            trial_name_creator=name_of,
            trial_dirname_creator=name_of,
        ),
        run_config=tune.RunConfig(
            name=plan.folder.name,
            storage_path=str(plan.folder.parent),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=TRIES - 1),
            callbacks=[watcher],
            verbose=0,
        ),
    )


def trial_number(name: str) -> int:
    """Return the number that ends a trial's name."""
    return int(name.rpartition("trial")[2])


def quiet() -> None:
    """Leave the telling to this program."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"(ray|optuna)\.")


def distributions(space: Space | Draw) -> dict[str, BaseDistribution]:
    """Return Optuna's form of what varies in a space; choices as JSON text."""
    found: dict[str, BaseDistribution] = {
        key: CategoricalDistribution([json.dumps(value) for value in values])
        for key, values in space.choices.items()
        if len(values) > 1
    }
    for key, numbers in space.ranges.items():
        kind = IntDistribution if numbers.whole else FloatDistribution
        found[key] = kind(numbers.low, numbers.high, log=numbers.log)  # type: ignore[arg-type]
    return found


def importances(
    space: Space | Draw, settings: Sequence[Setting], accuracies: Sequence[float]
) -> dict[str, float]:
    """Return what part of the accuracies' variance each key explains, the greatest first.

    By PED-ANOVA (Watanabe et al., arXiv 2304.10255), as Optuna has it; empty for too few trials.
    """
    if len(settings) < KEPT:
        return {}
    quiet()
    kinds = distributions(space)
    study = optuna.create_study(direction="maximize")
    for setting, accuracy in zip(settings, accuracies, strict=True):
        values = {
            key: json.dumps(setting[key]) if key in space.choices else setting[key] for key in kinds
        }
        study.add_trial(
            optuna.trial.create_trial(params=values, distributions=dict(kinds), value=accuracy)
        )
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
