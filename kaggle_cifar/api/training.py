"""Train a recipe: one run, several seeds, or folds."""

import signal
from typing import Literal

from kaggle_cifar import recipes
from kaggle_cifar.api.arguments import (
    Changes,
    RecipeLike,
    require_flags,
    require_type,
    to_changes,
    to_recipe,
    to_seconds,
)
from kaggle_cifar.api.display import without_traceback
from kaggle_cifar.api.folders import current_project
from kaggle_cifar.api.runs import Run
from kaggle_cifar.api.train_request import OnEpoch, TrainRequest, check_request, run_training
from kaggle_cifar.competition import TRAIN_COUNT
from kaggle_cifar.console import say
from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.recipes import whole_number
from kaggle_cifar.recipes.validation import check_setting
from kaggle_cifar.training.run import Run as RunFolder


@without_traceback
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
    tta: bool = False,
    detach: bool = False,
    device: Literal["cpu"] | None = None,
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
    tta
        With `predict`: whether to predict them with test-time augmentation too.
    detach
        With `on`: whether to return once the training is on Kaggle.
    device
        "cpu" to train on the CPU even if there is a GPU. It holds until Python ends.

    Returns
    -------
    Run
        The run, unfinished if the training was stopped.

    Raises
    ------
    UserError
        If the run exists with other settings, another process trains it, the data is missing, the
        training diverges, or TensorFlow cannot use the GPU that the machine has.

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
    require_flags(predict=predict, tta=tta, detach=detach)
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
        tta=tta,
        detach=detach,
        device=device,
    )
    return train_or_stop(request, on_epoch)[0]


@without_traceback
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
    device: Literal["cpu"] | None = None,
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
        device=device,
    )
    return train_or_stop(request)


@without_traceback
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
    device: Literal["cpu"] | None = None,
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
        device=device,
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
