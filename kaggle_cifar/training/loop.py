"""Recipe and data to a run folder."""

import dataclasses
import hashlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar import models
from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.console import duration, progress_bar, say
from kaggle_cifar.data.dataset import (
    TrainingSet,
    check_split,
    load_training_set,
    split_validation,
)
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.plots import draw_curves
from kaggle_cifar.files import (
    ProjectPaths,
    atomic_write,
    lock,
    read_json,
    write_json,
    write_text,
)
from kaggle_cifar.models.inference import (
    compile_forward,
    standard_error,
    to_probabilities,
    write_probabilities,
)
from kaggle_cifar.recipes import Recipe, check_same_network
from kaggle_cifar.tensorflow_setup import describe_environment, dtype_policy, start_tensorflow
from kaggle_cifar.training.batches import BatchSource
from kaggle_cifar.training.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from kaggle_cifar.training.epoch_schedule import EpochSchedule
from kaggle_cifar.training.run import Run, RunOptions, named_run
from kaggle_cifar.training.tensorboard import write_events

if TYPE_CHECKING:
    import tensorflow as tf

CHECKPOINT_INTERVAL = 300.0  # seconds; an epoch's end is always saved too
LOOK_INTERVAL = 1.0  # seconds between looks at the running loss, which wait for the device
ESTIMATE_AFTER = 10.0  # seconds of training until its speed is told
EVALUATION_BATCH = 500  # images
TIMED_STEPS = 3  # at least, to know the speed
BUDGET_TIMED = 0.02  # of a time budget, or of the whole training, to know it better
LONGEST_TIMED = 30.0  # seconds
BUDGET_USED = 0.95  # of what is left: machines slow down
MEASURED_IMAGES = 10_000  # of the training images, evenly spread, at the end
MEMORY_ADVICE = (
    "Close other programs, choose a smaller recipe, or a smaller batch with --set batch_size=…, "
    "which is another recipe."
)


class Interrupted(Exception):
    """Training was stopped by a signal, its state saved; `signal_number` says which."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def train(
    project: ProjectPaths, recipe: Recipe, name: str, options: RunOptions, tensorboard: bool = False
) -> Run:
    """Train `recipe` to its end as the run `name`, going on with an unfinished one.

    With `tensorboard`, the history is written as event files too, of a finished run as well.

    Raises
    ------
    ForeignPathError
        When the run's folder has something in it that is no run.
    UserError
        When the data is not as it must be, the run exists with another recipe, options or data,
        or the loss diverges.
    Interrupted
        On SIGINT or SIGTERM, after the state is saved.
    """
    for _ in train_by_epochs(project, recipe, name, options, tensorboard):
        pass
    return named_run(project, name)


def train_by_epochs(
    project: ProjectPaths, recipe: Recipe, name: str, options: RunOptions, tensorboard: bool = False
) -> Generator[dict[str, Any]]:
    """Train as `train` does; yield each epoch's row of the history, the last when all is done.

    Closed before its end, the iterator leaves the run unfinished, its state saved. Of a run that
    is finished already it yields nothing.
    """
    check_contradictions(recipe, options)
    started = time.monotonic()
    run = named_run(project, name)
    run.require_own_folder()
    with lock(run.folder, "training"), telling_of_memory(recipe):
        recipe = fitted_before(run, recipe, options)
        if is_finished(run, recipe, options):
            remove_checkpoint(run.checkpoint_file)
            if tensorboard:
                start_tensorflow()  # quiet
                write_events(run.events_folder, run.read_history(), run.started)
            say(f"The run {run.name} is finished: {run.folder}. Another --name trains anew.")
            return
        training, digest = _prepare(project, run, recipe, options, tensorboard)
        training.check_too_large()
        if options.time_budget and not run.description_file.exists():
            training.fit_into(options.time_budget - (time.monotonic() - started))
        _describe_run(run, training.recipe, options, digest)
        with _stop_on_signals() as stop_signal:
            yield from training.run_epochs(stop_signal)
        training.finish()
        yield training.history[-1]


def end_early(project: ProjectPaths, run: Run) -> None:
    """Make what an unfinished run has reached its result.

    Raises as `train`.
    """
    with lock(run.folder, "training"):
        training, _ = _prepare(project, run, *run.read_recipe())
        training.finish()


def _prepare(
    project: ProjectPaths, run: Run, recipe: Recipe, options: RunOptions, tensorboard: bool = False
) -> tuple["Training", str]:
    """Start TensorFlow and read the data; return the training where it stands, the data's hash."""
    check_split(project, options.limit, options.validation)
    strategy = start_tensorflow()
    policy = dtype_policy("always" if options.mixed_precision else recipe.precision)
    data = load_training_set(project, options.limit)
    digest = _digest(data)
    _check_changed_data(run, digest)
    with strategy.scope():
        return Training(run, recipe, options, data, strategy, policy, tensorboard), digest


def check_contradictions(recipe: Recipe, options: RunOptions) -> None:
    """Raise a UserError when a recipe cannot be trained with these options."""
    if options.validation == "none" and (recipe.early_stopping or recipe.plateau):
        raise UserError(
            f"{recipe.name} chooses its rate and its end by the validation loss: it cannot be "
            "trained with --validation none. Choose last20 or stratified, or another recipe."
        )


def fitted_before(run: Run, recipe: Recipe, options: RunOptions) -> Recipe:
    """Return the recipe with the epochs that a run's time budget allowed when it was started."""
    if not (options.time_budget and run.description_file.exists()):
        return recipe
    return dataclasses.replace(recipe, epochs=run.read_recipe()[0].epochs)


def is_finished(run: Run, recipe: Recipe, options: RunOptions) -> bool:
    """Return whether the run is finished.

    Raises
    ------
    UserError
        When it was asked for something else.
    """
    if not run.description_file.exists():
        return False
    there = run.read_recipe()
    check_same_network(there[0], recipe, run.description_file)
    differences = _differences(there[0], recipe) + _differences(there[1], options)
    if differences:
        raise UserError(
            f"The run {run.folder} exists with other settings ({'; '.join(differences)}). "
            "Choose another --name, or give the settings it was started with to go on with it."
        )
    return run.finished


def _differences(there: Recipe | RunOptions, asked: Recipe | RunOptions) -> list[str]:
    before, now = dataclasses.asdict(there), dataclasses.asdict(asked)
    return [
        f"{'recipe' if key == 'name' else key}: {before[key]}, now {value}"
        for key, value in now.items()
        if value != before[key] and key != "network_source"
    ]


def _check_changed_data(run: Run, digest: str) -> None:
    if (
        run.description_file.exists()
        and read_json(run.description_file).get("data_sha256") != digest
    ):
        raise UserError(
            f"The training images or labels have changed since {run.folder} was started. "
            "Restore them, or choose another --name to train on what is there now."
        )


def _describe_run(run: Run, recipe: Recipe, options: RunOptions, digest: str) -> None:
    """Write run.json, by which the folder is this program's own, then environment.json."""
    if not run.description_file.exists():
        content = {
            "recipe": dataclasses.asdict(recipe),
            "options": dataclasses.asdict(options),
            "data_sha256": digest,
        }
        write_json(run.description_file, content)
    if not run.environment_file.exists():
        write_json(run.environment_file, describe_environment())


def _digest(data: TrainingSet) -> str:
    digest = hashlib.sha256()
    for array in (data.ids, data.labels, data.pixels):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Training:
    """A training between its first step and its result, in a state that can be saved."""

    def __init__(
        self,
        run: Run,
        recipe: Recipe,
        options: RunOptions,
        data: TrainingSet,
        strategy: "tf.distribute.Strategy",
        policy: str = "float32",
        tensorboard: bool = False,
    ) -> None:
        import keras

        from kaggle_cifar.training import optimizers

        self.run, self.recipe, self.options, self.strategy = run, recipe, options, strategy
        self.tensorboard = tensorboard
        rows, validation_rows = split_validation(data.labels, options.validation)
        self.data, self.validation = data.take(rows), data.take(validation_rows)
        self.source = BatchSource(self.data, recipe, options.seed)
        keras.utils.set_random_seed(options.seed)
        source = recipe.network_source
        self.model = models.build(recipe.network, recipe.network_options, policy, source)
        models.adapt(recipe.network, self.model, self.data.pixels, source)
        self.optimizer = optimizers.build(recipe)
        if keras.DTypePolicy(policy).compute_dtype == "float16":
            self.optimizer = optimizers.LossScale(self.optimizer)
        self.optimizer.build(self.model.trainable_variables)
        self.lookahead = optimizers.Lookahead(self.model.variables) if recipe.lookahead else None

        self.control = EpochSchedule(recipe.learning_rate)
        self.history: list[dict[str, Any]] = []
        self.epoch = self.step = 0  # the next to be done, both from zero
        self.totals = np.zeros(3, np.float32)  # of the epoch so far: loss, correct, images
        self.epoch_seconds = 0.0
        self.best_weights: list[np.ndarray] = []
        if self.run.checkpoint_file.exists():
            self._restore()
        self._train_step = self._compile_train_step()
        self._evaluate_step = self._compile_evaluate_step()
        self._last_saved = time.monotonic()
        self._estimate = RuntimeEstimator(self.source.images(self.source.steps), recipe.epochs)

    # The state

    def _state(self) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
        """Return all that the rest of the training depends on."""
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "epoch_seconds": self.epoch_seconds,
            "history": self.history,
            "control": self.control.to_json(),
        }
        arrays = {
            "totals": [np.asarray(self.totals)],
            "model": [variable.numpy() for variable in self.model.variables],
            "optimizer": [variable.numpy() for variable in self._optimizer_variables],
            "loss_scale": [variable.numpy() for variable in self._loss_scale],
            "lookahead": [variable.numpy() for variable in self._slow_weights],
            "best_weights": self.best_weights,
        }
        return state, arrays

    def _set_state(self, state: dict[str, Any], arrays: dict[str, list[np.ndarray]]) -> None:
        self.epoch, self.step = state["epoch"], state["step"]
        self.epoch_seconds, self.history = state["epoch_seconds"], state["history"]
        self.control = EpochSchedule(**state["control"])
        self.totals = arrays["totals"][0]
        self.best_weights = arrays.get("best_weights", [])
        _assign(self.model.variables, arrays["model"])
        _assign(self._optimizer_variables, arrays["optimizer"])
        if self._loss_scale and "loss_scale" in arrays:  # found anew in another precision
            _assign(self._loss_scale, arrays["loss_scale"])
        _assign(self._slow_weights, arrays.get("lookahead", []))

    def _save(self) -> None:
        save_checkpoint(self.run.checkpoint_file, *self._state())
        self._last_saved = time.monotonic()

    def _restore(self) -> None:
        state, arrays = load_checkpoint(self.run.checkpoint_file)
        try:
            self._set_state(state, arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.run.checkpoint_file} does not fit the run's recipe ({error}). Delete it to "
                "start this run again from the beginning, or choose another --name."
            ) from None
        say(f"Going on with {self.run.name} at epoch {self.epoch + 1}, step {self.step + 1}.")

    @property
    def _optimizer_variables(self) -> list[Any]:
        return getattr(self.optimizer, "inner_optimizer", self.optimizer).variables

    @property
    def _loss_scale(self) -> list[Any]:
        """The state of float16's loss scale, which no other precision has."""
        if not hasattr(self.optimizer, "dynamic_scale"):
            return []
        return [self.optimizer.dynamic_scale, self.optimizer.step_counter]

    @property
    def _slow_weights(self) -> list[Any]:
        return self.lookahead.slow if self.lookahead else []

    # Before the first step

    def check_too_large(self) -> None:
        """Raise a UserError where a batch of this recipe cannot fit into the memory.

        A GPU's free memory is not known before it runs out: then `telling_of_memory` does it.
        """
        import psutil
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return
        outputs = sum(math.prod(layer.output.shape[1:]) for layer in self.model.layers)
        # Each output is kept for the gradient, which is as large; 4 bytes a number.
        needed = 2 * 4 * outputs * min(self.recipe.batch_size, len(self.data))
        free = psutil.virtual_memory().available
        if needed > free:
            raise UserError(
                f"{self.recipe.name} needs about {needed / 2**30:.1f} GiB for a batch of "
                f"{self.recipe.batch_size:,} images, and {free / 2**30:.1f} GiB are free. "
                f"{MEMORY_ADVICE}"
            )

    def fit_into(self, seconds: float) -> None:
        """Shorten the recipe so that training and measuring its result take `seconds` at most.

        The first steps and an evaluation are timed, then undone.

        Raises
        ------
        UserError
            When not even a step fits.
        """
        say(f"Timing the first steps of {self.recipe.name}, to fit it into {duration(seconds)}.")
        state, arrays = self._state()
        started = time.monotonic()
        step = self._time_steps(min(BUDGET_TIMED * seconds, LONGEST_TIMED))
        evaluation = self._time_evaluation()
        self._set_state(state, arrays)
        measured = min(MEASURED_IMAGES, len(self.data)) + 7 * len(self.validation)
        left = seconds - (time.monotonic() - started) - measured * evaluation
        of_step = step + len(self.validation) * evaluation / self.source.steps
        steps = min(int(BUDGET_USED * left / of_step), self.total_steps)
        if steps < 1:
            raise UserError(
                f"The time budget does not suffice for a step of {self.recipe.name}: reading the "
                f"data and measuring the result take all of it, and a step {step:.1f} s. Give "
                "more time, or choose a smaller recipe."
            )
        epochs = steps / self.source.steps if steps < self.total_steps else self.recipe.epochs
        self.recipe = dataclasses.replace(self.recipe, epochs=epochs)
        self._estimate = RuntimeEstimator(self.source.images(self.source.steps), epochs)
        say(
            f"{self.source.images(1) / step:,.0f} images/s: {epochs:.4g} epochs of "
            f"{self.recipe.name} fit into the time budget."
        )

    def _time_steps(self, enough: float) -> float:
        """Return the seconds of a step, measured for `enough` seconds after compiling it.

        A part of the training's own steps is enough, too.
        """
        enough_steps = max(TIMED_STEPS, BUDGET_TIMED * self.total_steps)
        batches = self.source.batches(0, 0, self.source.steps).repeat()
        totals, count, started = self.totals, -1, 0.0
        for batch in self.strategy.experimental_distribute_dataset(batches):
            totals = self._train_step(batch, totals)
            np.asarray(totals)  # waits for the device
            count += 1
            if count == 0:
                started = time.monotonic()
            if count >= enough_steps:
                break
            if count >= TIMED_STEPS and time.monotonic() - started > enough:
                break
        return (time.monotonic() - started) / count

    def _time_evaluation(self) -> float:
        """Return the seconds of an image's evaluation."""
        data = self.data.take(np.arange(min(EVALUATION_BATCH, len(self.data))))
        self._evaluate(data)
        started = time.monotonic()
        self._evaluate(data)
        return (time.monotonic() - started) / len(data)

    # The epochs

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole training, unless it stops early."""
        return max(1, math.ceil(round(self.recipe.epochs * self.source.steps, 6)))

    @property
    def steps_done(self) -> int:
        """The number of steps since the beginning."""
        return self.epoch * self.source.steps + self.step

    @property
    def progress(self) -> float:
        """The part of all steps that is done, 0 to 1."""
        return self.steps_done / self.total_steps

    def _steps_of(self, epoch: int) -> int:
        return min(self.source.steps, self.total_steps - epoch * self.source.steps)

    @property
    def is_done(self) -> bool:
        """Whether the recipe's last step was done or its early stopping has come."""
        return self._steps_of(self.epoch) <= 0 or self.control.should_stop(self.recipe)

    def run_epochs(self, stop_signal: Callable[[], int | None]) -> Iterator[dict[str, Any]]:
        """Train to the end; yield each epoch's row of the history but the last's."""
        while not self.is_done:
            if self.step == 0:
                self.control.start_epoch(self.recipe, self.epoch)
            if 0 < self.epoch == self.recipe.whitening_bias_epochs:
                self._train_step = self._compile_train_step()
            self._run_steps(stop_signal)
            self._end_epoch()
            if not self.is_done:
                yield self.history[-1]

    def _run_steps(self, stop_signal: Callable[[], int | None]) -> None:
        """Do the rest of the epoch's steps, saving now and then and when a signal asks for it."""
        batches = self.source.batches(self.epoch, self.step, self._steps_of(self.epoch))
        started = looked = time.monotonic()
        before = self.epoch_seconds
        totals = self.totals
        with self._bar() as bar:
            for batch in self.strategy.experimental_distribute_dataset(batches):
                totals = self._do_step(batch, totals)
                now = time.monotonic()
                if now - looked < LOOK_INTERVAL and stop_signal() is None:
                    continue
                looked = now
                self.totals = self._look(totals, bar)
                self.epoch_seconds = before + now - started
                before_epoch = self.epoch * self.source.images(self.source.steps)
                self._estimate.tell(before_epoch + float(self.totals[2]))
                if stop_signal() is not None or now - self._last_saved > CHECKPOINT_INTERVAL:
                    self._save()
                if (number := stop_signal()) is not None:
                    raise Interrupted(number)
            self.totals = self._look(totals, bar)
        self.epoch_seconds = before + time.monotonic() - started

    def _do_step(self, batch: tuple, totals: "tf.Tensor") -> "tf.Tensor":
        """Do one step at the rate that is due, and look ahead where that is due."""
        recipe = self.recipe
        if recipe.schedule:
            factor = recipe.schedule.factor(self.progress)
            self.control.learning_rate = recipe.learning_rate * factor
        self.optimizer.learning_rate = self.control.learning_rate
        totals = self._train_step(batch, totals)
        self.step += 1
        if recipe.lookahead and self.lookahead and self.steps_done % recipe.lookahead.every == 0:
            self.lookahead.pull(recipe.lookahead.weight(self.progress))
        return totals

    def _bar(self) -> Any:
        description = f"Epoch {self.epoch + 1}/{math.ceil(self.recipe.epochs)}"
        images = self.source.images(self._steps_of(self.epoch))
        bar = progress_bar(description, images, "images", int(self.totals[2]))
        bar.leave = False  # the epoch's line takes its place
        return bar

    def _look(self, totals: "tf.Tensor", bar: Any) -> np.ndarray:
        """Wait for the device, show the running figures and refuse to go on without a loss."""
        loss, correct, count = values = np.asarray(totals)
        if not np.isfinite(loss):
            raise UserError(
                f"The loss of {self.run.name} is {loss} in epoch {self.epoch + 1}: the training "
                "has diverged and was stopped. A lower learning rate or another --seed may help. "
                f"Its folder {self.run.folder} keeps the last good state."
            )
        bar.set_postfix(
            loss=f"{loss / count:.4f}", accuracy=f"{correct / count:.4f}", refresh=False
        )
        bar.update(int(count) - bar.n)
        return values

    def _end_epoch(self) -> None:
        if self.lookahead and self.steps_done == self.total_steps:
            self.lookahead.pull(1.0)  # the slow weights are the result
        loss, correct, count = (float(value) for value in self.totals)
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "loss": loss / count,
            "accuracy": correct / count,
            "val_loss": None,
            "val_accuracy": None,
            "learning_rate": self.control.learning_rate,
        }
        started = time.monotonic()
        if len(self.validation):
            row["val_loss"], probabilities = self._evaluate(self.validation)
            row["val_accuracy"] = _accuracy(probabilities, self.validation)
            best = self.control.end_epoch(self.recipe, self.epoch, row["val_loss"])
            if best and self.recipe.early_stopping:
                self.best_weights = self.model.get_weights()
        row["seconds"] = round(self.epoch_seconds + time.monotonic() - started, 3)
        self.history.append(row)
        self.epoch, self.step = self.epoch + 1, 0
        self.totals, self.epoch_seconds = np.zeros(3, np.float32), 0.0
        self._save()
        self._write_history()
        say(_epoch_line(row, math.ceil(self.recipe.epochs)))

    def _write_history(self) -> None:
        import pandas as pd

        write_text(self.run.history_file, pd.DataFrame(self.history).to_csv(index=False))
        if self.tensorboard:
            write_events(self.run.events_folder, self.history, self.run.started)

    # The mathematics

    @property
    def _compiles_with_xla(self) -> bool:
        """Whether XLA makes the step faster: on a GPU; on a CPU its convolutions are slower.

        Not with several GPUs, whose exchange it does not compile.
        """
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return self.recipe.xla and bool(gpus) and self.strategy.num_replicas_in_sync == 1

    def _compile_train_step(self) -> Callable:
        """Return the function (batch, totals) -> totals that does one step of the optimiser."""
        import tensorflow as tf

        variables = self._variables_to_train()

        def replica_step(pixels: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                outputs = self.model(pixels, training=True)
                losses = self._losses(labels, outputs, self.recipe.label_smoothing)
                replicas = self.strategy.num_replicas_in_sync
                loss = tf.reduce_sum(losses * weights) + self._penalty() / replicas
                scaled_loss = self.optimizer.scale_loss(loss)
            self.optimizer.apply(tape.gradient(scaled_loss, variables), variables)
            guesses = tf.argmax(outputs, axis=-1, output_type=labels.dtype)
            correct = tf.reduce_sum(tf.cast(guesses == labels, tf.float32))
            return tf.stack([loss, correct, tf.cast(tf.size(labels), tf.float32)])

        @tf.function(autograph=False, jit_compile=self._compiles_with_xla)
        def train_step(batch: tuple, totals: tf.Tensor) -> tf.Tensor:
            sums = self.strategy.run(replica_step, args=batch)
            loss, correct, count = tf.unstack(self.strategy.reduce("SUM", sums, axis=None))
            return totals + tf.stack([loss * count, correct, count])

        return train_step

    def _variables_to_train(self) -> list[Any]:
        variables = self.model.trainable_variables
        last = self.recipe.whitening_bias_epochs
        if last is None:
            return variables
        layers = [layer for layer in self.model.layers if layer.name == "whitening"]
        if not layers:
            raise UserError(
                f"The network {self.recipe.network} has no layer named whitening: "
                f"{self.recipe.name} must leave whitening_bias_epochs null."
            )
        if self.epoch < last:
            return variables
        bias = getattr(layers[0], "bias", None)
        return [variable for variable in variables if variable is not bias]

    def _penalty(self) -> "tf.Tensor":
        """Return the sum of the layers' regularisation losses."""
        import tensorflow as tf

        return tf.add_n(self.model.losses) if self.model.losses else tf.constant(0.0)

    def _compile_evaluate_step(self) -> Callable:
        """Return the function (pixels, labels) -> (losses, outputs) without training."""
        import tensorflow as tf

        pixels = tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)
        labels = tf.TensorSpec((None,), tf.int32)

        @tf.function(autograph=False, input_signature=[pixels, labels])
        def evaluate_step(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outputs = self.model(pixels, training=False)
            return self._losses(labels, outputs), to_probabilities(self.model, outputs)

        return evaluate_step

    def _losses(
        self, labels: "tf.Tensor", outputs: "tf.Tensor", smoothing: float = 0.0
    ) -> "tf.Tensor":
        """Return each image's cross-entropy, float32 (batch,), the labels smoothed."""
        import keras
        import tensorflow as tf

        from_logits = models.gives_logits(self.model)
        if not smoothing:
            return keras.losses.sparse_categorical_crossentropy(labels, outputs, from_logits)
        return keras.losses.categorical_crossentropy(
            tf.one_hot(labels, outputs.shape[-1]), outputs, from_logits, smoothing
        )

    def _evaluate(self, data: TrainingSet) -> tuple[float, np.ndarray]:
        """Return the mean loss, regularisation included, and probabilities float32 (n, 10)."""
        losses, probabilities = [], []
        for start in range(0, len(data), EVALUATION_BATCH):
            rows = slice(start, start + EVALUATION_BATCH)
            batch = self._evaluate_step(data.pixels[rows], data.labels[rows])
            losses.append(np.asarray(batch[0]))
            probabilities.append(np.asarray(batch[1]))
        mean = float(np.concatenate(losses).mean(dtype=np.float64)) + float(self._penalty())
        return mean, np.concatenate(probabilities)

    # The result

    def finish(self) -> None:
        """Write the result: the recipe's weights and all that tells how good they are."""
        if self.best_weights:
            self.model.set_weights(self.best_weights)
        folder = self.run.folder
        self._write_history()  # a kill may have come between the last state and its row
        with atomic_write(self.run.weights_file) as partial:
            # Keras wants the ending in the name that it writes to.
            named = partial.with_name(f"{partial.name}.weights.h5")
            self.model.save_weights(named)
            named.replace(partial)
        self.model.summary(print_fn=lambda text: write_text(folder / "summary.txt", text + "\n"))
        draw_curves(self.history, self.run.name, folder / "figures" / "curves.png")
        metrics = self._measure()
        write_json(self.run.metrics_file, metrics)
        remove_checkpoint(self.run.checkpoint_file)
        say(_result_line(self.run, metrics))

    @property
    def best_epoch(self) -> int:
        """The epoch, from one, whose weights are the result."""
        if self.best_weights and self.control.best_epoch is not None:
            return self.control.best_epoch + 1
        return len(self.history)

    def _measure(self) -> dict[str, Any]:
        """Return the figures of the result, and keep its probabilities on the validation set."""
        count = min(MEASURED_IMAGES, len(self.data))
        sample = self.data.take(np.linspace(0, len(self.data) - 1, count).astype(int))
        loss, probabilities = self._evaluate(sample)
        metrics = {
            "recipe": self.recipe.name,
            "seed": self.options.seed,
            "parameters": self.model.count_params(),
            "petaflop": self._petaflop(),
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "seconds": round(sum(row["seconds"] for row in self.history), 1),
            "train_images": len(self.data),
            "train_loss": loss,
            "train_accuracy": _accuracy(probabilities, sample),
            "validation": self.options.validation,
            "validation_images": len(self.validation),
        }
        if len(self.validation):
            loss, probabilities = self._evaluate(self.validation)
            accuracy = _accuracy(probabilities, self.validation)
            metrics["validation_loss"] = loss
            metrics["validation_accuracy"] = accuracy
            metrics["validation_standard_error"] = standard_error(accuracy, len(self.validation))
            in_six_views = self._view_six_times(self.validation)
            metrics["validation_accuracy_tta"] = _accuracy(in_six_views, self.validation)
            for views, values in (("plain", probabilities), ("tta", in_six_views)):
                file = self.run.probabilities_file("validation", views)
                write_probabilities(file, self.validation.ids, values)
        return metrics

    def _view_six_times(self, data: TrainingSet) -> np.ndarray:
        """Return the probabilities float32 (n, 10) that test-time augmentation gives."""
        forward = compile_forward(self.model, "tta")
        starts = range(0, len(data), EVALUATION_BATCH)
        parts = [forward(data.pixels[start : start + EVALUATION_BATCH]) for start in starts]
        return np.concatenate([np.asarray(part) for part in parts])

    def _petaflop(self) -> float:
        """Return the operations of all steps, forward and backward, in units of 1e15."""
        images = sum(self.source.images(self._steps_of(row["epoch"] - 1)) for row in self.history)
        return round(3 * models.flops(self.model) * images / 1e15, 4)


class RuntimeEstimator:
    """Tells once, after the first seconds, how long the training will take."""

    def __init__(self, images: int, epochs: float) -> None:
        self._images, self._epochs = images, epochs
        self._start: tuple[float, float] | None = None
        self._told = False

    def tell(self, images_seen: float) -> None:
        """Note the images seen since the first epoch; print the estimate once it can be trusted."""
        now = time.monotonic()
        if self._start is None:  # the first look ends the time that compiling takes
            self._start = now, images_seen
        seconds, images = now - self._start[0], images_seen - self._start[1]
        if self._told or seconds < ESTIMATE_AFTER:
            return
        self._told = True
        speed = images / seconds
        left = (self._epochs * self._images - images_seen) / speed
        say(
            f"{speed:,.0f} images/s: about {duration(self._images / speed)} an epoch, "
            f"at most {duration(left)} to the end of epoch {self._epochs:.4g}."
        )


@contextmanager
def telling_of_memory(recipe: Recipe) -> Iterator[None]:
    """Raise a UserError in place of what Python or TensorFlow raise when memory runs out."""
    try:
        yield
    except Exception as error:
        import tensorflow as tf

        if not isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
            raise
        raise UserError(
            f"{recipe.name} with a batch of {recipe.batch_size:,} images does not fit into the "
            f"memory of this machine. {MEMORY_ADVICE}"
        ) from error


@contextmanager
def _stop_on_signals() -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the SIGINT or SIGTERM that came, if one did.

    A second SIGINT interrupts at once, as it would without this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread may set handlers
        return
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("Stopping: saving the state …", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _accuracy(probabilities: np.ndarray, data: TrainingSet) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == data.labels))


def _epoch_line(row: dict[str, Any], epochs: int) -> str:
    validation = ""
    if row["val_loss"] is not None:
        validation = f"  val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}"
    return (
        f"Epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  loss {row['loss']:.4f}  "
        f"accuracy {row['accuracy']:.4f}{validation}  rate {row['learning_rate']:.2e}  "
        f"{duration(row['seconds'])}"
    )


def _result_line(run: Run, metrics: dict[str, Any]) -> str:
    validated = "trained on all images, without validation"
    if metrics["validation_images"]:
        validated = (
            f"validation accuracy {metrics['validation_accuracy']:.4f} "
            f"± {metrics['validation_standard_error']:.4f} on {metrics['validation_images']:,} "
            f"images (epoch {metrics['best_epoch']}), "
            f"{metrics['validation_accuracy_tta']:.4f} in six views"
        )
    epochs = "1 epoch" if metrics["epochs"] == 1 else f"{metrics['epochs']} epochs"
    return f"{run.folder}: {validated}, {epochs} in {duration(metrics['seconds'])}."
