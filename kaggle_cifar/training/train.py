"""Train a recipe to a run folder."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

from kaggle_cifar.console import say
from kaggle_cifar.data.dataset import check_split, load_training_set
from kaggle_cifar.devices.gpus import require_usable_devices, training_strategy
from kaggle_cifar.files import ProjectPaths, lock
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.tensorflow_setup import (
    describe_devices,
    dtype_policy,
    start_tensorflow,
)
from kaggle_cifar.training.checkpoint import remove_checkpoint
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.memory import check_memory, explain_out_of_memory
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.result import write_result
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_settings import (
    check_data,
    check_finished,
    check_recipe_options,
    hash_data,
    require_run_folder,
    with_fitted_epochs,
    write_settings,
)
from kaggle_cifar.training.signals import watch_signals
from kaggle_cifar.training.step import why_not_xla
from kaggle_cifar.training.tensorboard import write_events
from kaggle_cifar.training.time_budget import fit_recipe


def train(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    tensorboard: bool = False,
    on_epoch: Callable[[dict[str, Any]], object] | None = None,
) -> Run:
    """Train `recipe` as the run `name`; an unfinished run is resumed.

    With `tensorboard`, the history is also written as event files, even if the run is finished.
    `on_epoch` is called with a copy of each new epoch's row of the history. If it raises, the
    training stops with its state saved.

    Raises
    ------
    ForeignPathError
        If the run's folder holds files that this program did not write.
    RunExistsError
        If the run exists with another recipe or other options.
    DataChangedError
        If the run was started with other training data.
    Interrupted
        On SIGINT or SIGTERM, after the state was saved.
    UserError
        If the data, the memory or the time budget does not allow the training, or it diverges.
    """
    with closing(train_by_epochs(project, recipe, name, options, tensorboard)) as rows:
        for row in rows:
            if on_epoch:
                on_epoch(dict(row))
    return named_run(project, name)


def train_by_epochs(
    project: ProjectPaths, recipe: Recipe, name: str, options: RunOptions, tensorboard: bool = False
) -> Generator[dict[str, Any]]:
    """Train as `train` does; yield each epoch's row of the history.

    The last one is yielded after the result is written. If the iterator is closed before its end,
    the run stays unfinished with its state saved. It yields nothing if the run is finished already.
    """
    check_recipe_options(recipe, options)
    started = time.monotonic()
    run = named_run(project, name)
    require_run_folder(run)
    with lock(run.folder, "training"), explain_out_of_memory(recipe):
        recipe = with_fitted_epochs(run, recipe, options)
        if check_finished(run, recipe, options):
            _complete(run, tensorboard)
            return
        training, data_sha256 = _open(project, run, recipe, options, tensorboard)
        check_memory(training.state.model, recipe, len(training.data))
        if options.time_budget and not run.description_file.exists():
            remaining = options.time_budget - (time.monotonic() - started)
            training.recipe = fit_recipe(training, remaining)
        write_settings(run, training.recipe, options, data_sha256)
        say(describe_setup(training))
        with watch_signals() as stop_signal:
            yield from training.run_epochs(stop_signal)
        write_result(training)
        yield training.state.history[-1]


def end_early(project: ProjectPaths, run: Run) -> None:
    """Write the result of an unfinished run as it is; raises as `train`."""
    with lock(run.folder, "training"):
        training, _ = _open(project, run, *run.read_recipe())
        write_result(training)


def _open(
    project: ProjectPaths, run: Run, recipe: Recipe, options: RunOptions, tensorboard: bool = False
) -> tuple[Training, str]:
    """Start TensorFlow, read the data; return the training and its hash."""
    check_split(project, options.limit, options.validation)
    start_tensorflow()
    require_usable_devices()
    strategy = training_strategy(recipe.batch_size)
    policy = dtype_policy("always" if options.mixed_precision else recipe.precision)
    data = load_training_set(project, options.limit)
    data_sha256 = hash_data(data)
    check_data(run, data_sha256)
    reset_layer_names()
    with strategy.scope():
        training = Training(run, recipe, options, data, strategy, policy, tensorboard)
    return training, data_sha256


def describe_setup(training: Training) -> str:
    """Return the line that says on which devices, in which precision and with XLA or not."""
    reason = why_not_xla(training.recipe, training.strategy)
    xla = f"without XLA ({reason})" if reason else "with XLA"
    devices = describe_devices(training.strategy.num_replicas_in_sync)
    return f"Training {training.run.name} on {devices} in {training.policy}, {xla}."


def reset_layer_names() -> None:
    """Make Keras count layers from one again, so that a run's files do not depend on earlier ones.

    It also releases what Keras keeps of earlier models.
    """
    import keras

    keras.utils.clear_session()


def _complete(run: Run, tensorboard: bool) -> None:
    """Remove the checkpoint of a finished run; write its event files."""
    remove_checkpoint(run.checkpoint_file)
    if tensorboard:
        start_tensorflow()  # before its first import, so that it prints nothing
        write_events(run.events_folder, run.read_history(), run.started)
    say(f"The run {run.name} is finished: {run.folder}. Use another --name to train again.")
