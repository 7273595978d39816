"""A request to train: its checks, and its runs here, on a cluster or on Kaggle."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kaggle_cifar import recipes
from kaggle_cifar.api.arguments import (
    ConflictingArgumentsError,
    check_device,
    require_flags,
    require_type,
    use_device,
)
from kaggle_cifar.competition import CLASS_NAMES, TRAIN_COUNT
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
    tta: bool = False
    detach: bool = False
    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None
    device: str | None = None

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


def check_request(request: TrainRequest, on_epoch: OnEpoch | None) -> None:
    """Raise a UserError if an argument has a wrong type or contradicts another one."""
    require_type("name", request.name, str | None, "the name of a run")
    require_flags(mixed_precision=request.mixed_precision, tensorboard=request.tensorboard)
    check_setting("limit", request.limit, optional(whole_number(len(CLASS_NAMES), TRAIN_COUNT)))
    check_device(request.device, request.gpus)
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
        "tta requires predict": request.tta and not request.predict,
        "tensorboard, on_epoch and device are for trainings on this machine, not on Kaggle": (
            request.on and (request.tensorboard or on_epoch or request.device)
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
    use_device(request.device)
    if request.seeds or request.folds:
        return _train_several(project, request)
    if request.on:
        return [_train_remotely(project, request)]
    return [_train_here(project, request, on_epoch)]


def _train_several(project: ProjectPaths, request: TrainRequest) -> list[RunFolder]:
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.search.seeds_and_folds import train_folds, train_seeds

    gpus = 0 if request.device else request.gpus
    train_each = train_seeds if request.seeds else train_folds
    return train_each(
        project,
        request.changed_recipe,
        request.run_name,
        request.options,
        request.seeds or request.folds or 1,
        request.tensorboard,
        Cluster(request.address, request.cpus, gpus) if request.address else None,
    )


def _train_remotely(project: ProjectPaths, request: TrainRequest) -> RunFolder:
    from kaggle_cifar.remote.accelerators import DEFAULT_ACCELERATOR
    from kaggle_cifar.remote.train import train_on_kaggle

    return train_on_kaggle(
        project,
        request.changed_recipe,
        request.run_name,
        request.options,
        request.accelerator or DEFAULT_ACCELERATOR,
        request.predict,
        request.tta,
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
