"""Train recipes: one run, several seeds, or folds; here, on a cluster or on Kaggle."""

import dataclasses
import functools
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kaggle_cifar import recipes
from kaggle_cifar.api.arguments import (
    Changes,
    ConflictingArgumentsError,
    RecipeLike,
    require_flags,
    require_type,
    to_changes,
    to_recipe,
    to_seconds,
)
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.api.runs import Run
from kaggle_cifar.competition import CLASS_NAMES, TRAIN_COUNT
from kaggle_cifar.console import say
from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.fields import optional
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe, require_one_of, whole_number
from kaggle_cifar.recipes.validation import check_setting
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run as RunFolder

OnEpoch = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class TrainRequest:
    """A request to train, with a field for each parameter of the command `train`."""

    recipe: Recipe
    name: str | None = None
    epochs: float | None = None
    limit: int | None = None
    seed: int | None = None
    seeds: int | None = None
    folds: int | None = None
    changes: tuple[str, ...] = ()
    validation: str = VALIDATION_SPLITS[0]
    mixed_precision: bool = False
    time_budget: float | None = None
    tensorboard: bool = False
    on: str | None = None
    accelerator: str | None = None
    predict: bool = False
    detach: bool = False
    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None

    @functools.cached_property
    def changed_recipe(self) -> Recipe:
        """The recipe with its changes and the number of epochs."""
        changed = self.recipe
        if self.changes:
            changed = recipes.change_recipe(changed, self.changes)
        if self.epochs is not None:
            changed = dataclasses.replace(changed, epochs=self.epochs)
        return changed

    @property
    def run_name(self) -> str:
        """The name of the run, or the prefix of the names of several runs."""
        if self.name:
            return self.name
        name = self.changed_recipe.name
        if self.time_budget:
            name += f"-{self.time_budget / 60:g}m"
        if self.seed is not None and not self.folds:
            name += f"-seed{self.seed}"
        return name

    @property
    def run_names(self) -> list[str]:
        """The name of each run."""
        from kaggle_cifar.search.seeds_and_folds import fold_names, seed_names

        if self.seeds:
            return seed_names(self.run_name, self.seeds)
        return fold_names(self.run_name, self.folds) if self.folds else [self.run_name]

    @property
    def options(self) -> RunOptions:
        """The options that are saved with the run."""
        return RunOptions(
            self.seed or 0, self.limit, self.validation, self.mixed_precision, self.time_budget
        )


def train(
    recipe: RecipeLike = recipes.DEFAULT,
    *,
    name: str | None = None,
    epochs: float | None = None,
    limit: int | None = None,
    seed: int | None = None,
    validation: str = VALIDATION_SPLITS[0],
    mixed_precision: bool = False,
    time_budget: str | float | None = None,
    changes: Changes | None = None,
    tensorboard: bool = False,
    on_epoch: OnEpoch | None = None,
    on: Literal["kaggle"] | None = None,
    accelerator: str | None = None,
    predict: bool = False,
    detach: bool = False,
) -> Run:
    """Train a recipe, or resume an unfinished run.

    If the run is finished, it is returned as it is. Ctrl-C and the stop button of a notebook save
    the state and return the unfinished run. The same call resumes it.

    Parameters
    ----------
    recipe
        A `Recipe`, the name of one, or the path of a JSON file.
    name
        Name of the run, by default the recipe's, with the time budget and the seed if given.
    epochs
        Number of epochs (overrides the recipe).
    limit
        Train on a stratified subset of so many images.
    seed
        Random seed, by default 0.
    validation
        Validation images: "last20", "stratified", "none", or a fold like "fold1of5".
    mixed_precision
        Whether to use 16-bit activations, which are faster on most GPUs.
    time_budget
        A duration like "50m" or "1h30m", or seconds, into which the number of epochs is fitted.
    changes
        Changes to the recipe, like `{"learning_rate": 0.003}` or `["plateau.factor=0.1"]`.
    tensorboard
        Whether to write logs for TensorBoard to `runs/<name>/tensorboard`.
    on_epoch
        Called with each new epoch's row of the history. If it raises an exception, the training
        stops with its state saved.
    on
        "kaggle" to train on a GPU of Kaggle and download the run.
    accelerator
        With `on`: Kaggle's name of the GPU.
    predict
        With `on`: whether to predict the test images on Kaggle too.
    detach
        With `on`: whether to return once the training is on Kaggle.

    Returns
    -------
    Run
        The run, unfinished if the training was stopped.

    Raises
    ------
    UserError
        If the run exists with other settings, another process trains it, the data is missing, or
        the training diverges.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> rows = []
    >>> run = kc.train("model1", epochs=1, on_epoch=rows.append)
    >>> run.finished
    True
    >>> rows[0]["epoch"]
    1
    >>> kc.train("model1", changes={"batch_size": 64}, epochs=1).name
    'model1,batch_size=64'
    """
    require_flags(predict=predict, detach=detach)
    require_type("accelerator", accelerator, str | None, "Kaggle's name of a GPU")
    request = TrainRequest(
        to_recipe(recipe),
        name,
        epochs,
        limit,
        seed,
        changes=to_changes(changes),
        validation=validation,
        mixed_precision=mixed_precision,
        time_budget=to_seconds(time_budget),
        tensorboard=tensorboard,
        on=on,
        accelerator=accelerator,
        predict=predict,
        detach=detach,
    )
    return train_or_stop(request, on_epoch)[0]


def train_seeds(
    recipe: RecipeLike = recipes.DEFAULT,
    count: int = 3,
    *,
    name: str | None = None,
    epochs: float | None = None,
    limit: int | None = None,
    validation: str = VALIDATION_SPLITS[0],
    mixed_precision: bool = False,
    time_budget: str | float | None = None,
    changes: Changes | None = None,
    tensorboard: bool = False,
    address: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
) -> list[Run]:
    """Train the seeds 0 to `count` - 1, which shows how much an accuracy varies.

    The runs are called `<name>-seed0`, `<name>-seed1`, … Interrupted runs resume. `address` is the
    address of a Ray cluster, such as "10.0.0.1:6379", or "local" for this machine. `cpus` and
    `gpus` are the numbers of CPU cores and GPUs per training there. The other parameters are those
    of `train`.

    Returns
    -------
    list of Run
        The runs; those that were started, if the training was stopped.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> [run.name for run in kc.train_seeds("model1", 2, epochs=1)]
    ['model1-seed0', 'model1-seed1']
    """
    check_setting("count", count, whole_number(1, 1000))
    request = TrainRequest(
        to_recipe(recipe),
        name,
        epochs,
        limit,
        seeds=count,
        changes=to_changes(changes),
        validation=validation,
        mixed_precision=mixed_precision,
        time_budget=to_seconds(time_budget),
        tensorboard=tensorboard,
        address=address,
        cpus=cpus,
        gpus=gpus,
    )
    return train_or_stop(request)


def train_folds(
    recipe: RecipeLike = recipes.DEFAULT,
    count: int = 5,
    *,
    name: str | None = None,
    epochs: float | None = None,
    limit: int | None = None,
    seed: int | None = None,
    mixed_precision: bool = False,
    time_budget: str | float | None = None,
    changes: Changes | None = None,
    tensorboard: bool = False,
    address: str | None = None,
    cpus: int | None = None,
    gpus: float | None = None,
) -> list[Run]:
    """Train `count` runs for cross-validation, each validated on another fold.

    The runs are called `<name>-fold1of5`, … The file `runs/<name>-5folds.npy` gets the prediction
    of each training image by the run that was not trained on it. The parameters and the result are
    those of `train_seeds`.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> [run.name for run in kc.train_folds("model1", 2, epochs=1)]
    ['model1-fold1of2', 'model1-fold2of2']
    """
    check_setting("count", count, whole_number(2, TRAIN_COUNT))
    request = TrainRequest(
        to_recipe(recipe),
        name,
        epochs,
        limit,
        seed,
        folds=count,
        changes=to_changes(changes),
        mixed_precision=mixed_precision,
        time_budget=to_seconds(time_budget),
        tensorboard=tensorboard,
        address=address,
        cpus=cpus,
        gpus=gpus,
    )
    return train_or_stop(request)


def train_or_stop(request: TrainRequest, on_epoch: OnEpoch | None = None) -> list[Run]:
    """Check a request and train its runs; if Ctrl-C stops them, return those that were started."""
    from kaggle_cifar.training.signals import Interrupted

    check_request(request, on_epoch)
    project = current_project()
    try:
        return [Run(folder, project) for folder in run_training(project, request, on_epoch)]
    except Interrupted as stop:
        explain_stop(stop.signal_number)
        runs = [Run(RunFolder(project.runs / name), project) for name in request.run_names]
        return [run for run in runs if run.folder.exists()]


def explain_stop(signal_number: int) -> None:
    """Print that a signal stopped the work; exit unless it was that of Ctrl-C."""
    say("Stopped. The state is saved: make the same call again to resume.")
    if signal_number != signal.SIGINT:
        raise SystemExit(128 + signal_number)


def check_request(request: TrainRequest, on_epoch: OnEpoch | None) -> None:
    """Raise a UserError if an argument has a wrong type or contradicts another one."""
    require_type("name", request.name, str | None, "the name of a run")
    require_flags(mixed_precision=request.mixed_precision, tensorboard=request.tensorboard)
    check_setting("limit", request.limit, optional(whole_number(len(CLASS_NAMES), TRAIN_COUNT)))
    if on_epoch is not None:
        require_type("on_epoch", on_epoch, Callable, "a function")  # type: ignore[arg-type]
    if request.on is not None:
        require_one_of("service", request.on, ["kaggle"])
    changed = {change.partition("=")[0] for change in request.changes}
    remote_only = request.accelerator or request.predict or request.detach
    conflicts = {
        "epochs and time_budget both set the number of epochs": (
            request.epochs is not None and request.time_budget
        ),
        "epochs and changes both set epochs": request.epochs is not None and "epochs" in changed,
        "mixed_precision and changes both set mixed_precision": (
            request.mixed_precision and "mixed_precision" in changed
        ),
        'accelerator, predict and detach require on="kaggle"': remote_only and not request.on,
        "tensorboard and on_epoch are for trainings on this machine, not on Kaggle": (
            request.on and (request.tensorboard or on_epoch)
        ),
        "cpus and gpus require the address of a cluster": (
            (request.cpus or request.gpus) and not request.address
        ),
    }
    for message, is_given in conflicts.items():
        if is_given:
            raise ConflictingArgumentsError(f"{message}.")


def run_training(
    project: ProjectPaths, request: TrainRequest, on_epoch: OnEpoch | None = None
) -> list[RunFolder]:
    """Train the runs of a request; raises as `training.train`."""
    if request.seeds or request.folds:
        return _train_several(project, request)
    if request.on:
        return [_train_remotely(project, request)]
    return [_train_here(project, request, on_epoch)]


def _train_several(project: ProjectPaths, request: TrainRequest) -> list[RunFolder]:
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.search.seeds_and_folds import train_folds, train_seeds

    train_each = train_seeds if request.seeds else train_folds
    return train_each(
        project,
        request.changed_recipe,
        request.run_name,
        request.options,
        request.seeds or request.folds or 1,
        request.tensorboard,
        Cluster(request.address, request.cpus, request.gpus) if request.address else None,
    )


def _train_remotely(project: ProjectPaths, request: TrainRequest) -> RunFolder:
    from kaggle_cifar.remote.script import DEFAULT_ACCELERATOR
    from kaggle_cifar.remote.train import train_on_kaggle

    return train_on_kaggle(
        project,
        request.changed_recipe,
        request.run_name,
        request.options,
        request.accelerator or DEFAULT_ACCELERATOR,
        request.predict,
        request.detach,
    )


def _train_here(
    project: ProjectPaths, request: TrainRequest, on_epoch: OnEpoch | None
) -> RunFolder:
    from kaggle_cifar.remote.train import check_remote
    from kaggle_cifar.training.train import train

    name = request.run_name
    check_remote(project, name)
    return train(
        project, request.changed_recipe, name, request.options, request.tensorboard, on_epoch
    )
