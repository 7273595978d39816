"""The training loop: epochs of steps, saved after each and in between."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from kaggle_cifar.console import say
from kaggle_cifar.data.dataset import TrainingSet, split_validation
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import Phase, Recipe
from kaggle_cifar.training.batches import BatchSource
from kaggle_cifar.training.checkpoint import CheckpointSaver
from kaggle_cifar.training.cost import flops_of_steps
from kaggle_cifar.training.evaluator import Evaluator, accuracy_of
from kaggle_cifar.training.filtering import ProxyFilter
from kaggle_cifar.training.history import write_history
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.progress import epoch_bar, format_epoch, show_totals
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.runtime_estimator import RuntimeEstimator
from kaggle_cifar.training.signals import Interrupted, StopSignal
from kaggle_cifar.training.state import build_state
from kaggle_cifar.training.step import compile_train_step, variables_to_train
from kaggle_cifar.training.tensorboard import write_events

if TYPE_CHECKING:
    import tensorflow as tf

LOOK_INTERVAL = 1.0  # seconds between two reads of the totals, which wait for the device


class DivergedError(UserError):
    """The loss is not a number; `epoch` is the epoch, from one."""

    def __init__(self, run: Run, epoch: int, loss: float) -> None:
        super().__init__(
            f"The training of {run.name} diverged: its loss is {loss} in epoch {epoch}. Use a "
            f"lower learning rate or another --seed. {run.folder} keeps the last good state."
        )
        self.epoch = epoch


class Training:
    """A run in training: its data, its state and its compiled functions."""

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
        self.run, self.recipe, self.options, self.strategy = run, recipe, options, strategy
        self.policy, self.tensorboard = policy, tensorboard
        rows, validation_rows = split_validation(data.labels, options.validation)
        self.data, self.validation = data.take(rows), data.take(validation_rows)
        self.source = BatchSource(self.data, recipe, options.seed, strategy.num_replicas_in_sync)
        self.state = build_state(recipe, options.seed, self.data.pixels, policy)
        self.checkpoint = CheckpointSaver(run.checkpoint_file, self.state)
        if self.checkpoint.restore():
            say(f"Resuming {run.name} at epoch {self.state.epoch + 1}, step {self.state.step + 1}.")
        self.evaluator = Evaluator(self.state.model)
        self.compile_step()

    def compile_step(self, phase: Phase | None = None) -> None:
        """Compile the training step for the variables and the phase of the current step."""
        state, recipe, strategy = self.state, self.recipe, self.strategy
        self.phase = phase = phase or recipe.phase(self.progress)
        variables = variables_to_train(state.model, recipe, state.epoch)
        self.train_step = compile_train_step(
            state.model, state.optimizer, recipe, strategy, variables, phase
        )
        self.filter = None
        if state.proxy and recipe.filtering:
            self.filter = ProxyFilter(
                state.proxy, recipe, recipe.filtering, strategy, phase.image_size
            )

    # How many steps

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole training, unless it stops early."""
        return max(1, math.ceil(round(self.recipe.epochs * self.source.steps, 6)))

    @property
    def steps_done(self) -> int:
        """The number of steps since the beginning."""
        return self.state.epoch * self.source.steps + self.state.step

    @property
    def progress(self) -> float:
        """The fraction of all steps that is done."""
        return self.steps_done / self.total_steps

    @property
    def images_seen(self) -> int:
        """The number of images in all steps so far."""
        epoch, step = self.state.epoch, self.state.step
        return epoch * self.source.images(self.source.steps) + self.source.images(step)

    def steps_in(self, epoch: int) -> int:
        """Return the number of steps of a zero-based epoch."""
        return min(self.source.steps, self.total_steps - epoch * self.source.steps)

    @property
    def is_done(self) -> bool:
        """Whether the last step is done or early stopping ended the training."""
        return self.steps_in(self.state.epoch) <= 0 or self.state.schedule.should_stop(self.recipe)

    # The loop

    def run_epochs(self, stop_signal: StopSignal) -> Iterator[dict[str, Any]]:
        """Train to the end; yield the row of each epoch but the last.

        Raises
        ------
        DivergedError
            If the loss is not a number.
        Interrupted
            If `stop_signal` returned a signal, after the state was saved.
        """
        state, recipe = self.state, self.recipe
        images = self.source.images(self.source.steps)
        estimator = RuntimeEstimator(images, recipe.epochs, measure_work(self))
        while not self.is_done:
            if state.step == 0:
                state.schedule.start_epoch(recipe, state.epoch)
            if 0 < state.epoch == recipe.whitening_bias_epochs:
                self.compile_step()
            self._run_steps(stop_signal, estimator)
            self._end_epoch()
            if not self.is_done:
                yield state.history[-1]

    def _run_steps(self, stop_signal: StopSignal, estimator: RuntimeEstimator) -> None:
        """Run the remaining steps of the epoch, saving in between and on a signal."""
        state, totals, seconds_before = self.state, self.state.totals, self.state.epoch_seconds
        steps = self.steps_in(state.epoch)
        batches = self.source.batches(state.epoch, state.step, steps)
        images, images_seen = self.source.images(steps), self.source.images(state.step)
        started = last_look = time.monotonic()
        with epoch_bar(state.epoch, self.recipe.epochs, images, images_seen) as bar:
            for batch in self.strategy.experimental_distribute_dataset(batches):
                totals = self.run_step(batch, totals)
                now, signal_number = time.monotonic(), stop_signal()
                if now - last_look < LOOK_INTERVAL and signal_number is None:
                    continue
                last_look = now
                self._read_totals(totals, bar)
                state.epoch_seconds = seconds_before + now - started
                estimator.update(self.images_seen)
                if signal_number is not None:
                    self.checkpoint.save()
                    raise Interrupted(signal_number)
                self.checkpoint.save_if_due()
            self._read_totals(totals, bar)
        state.epoch_seconds = seconds_before + time.monotonic() - started

    def run_step(self, batch: tuple[Any, ...], totals: "tf.Tensor") -> "tf.Tensor":
        """Run one step at the scheduled learning rate; return the new totals."""
        state, recipe = self.state, self.recipe
        if recipe.phase(self.progress) != self.phase:
            self.compile_step()
        if recipe.schedule:
            factor = recipe.schedule.factor(self.progress)
            state.schedule.learning_rate = recipe.learning_rate * factor
        for learner in filter(None, (state, state.proxy)):
            learner.optimizer.learning_rate = state.schedule.learning_rate
        totals = self.update(batch, totals, self.steps_done)
        state.step += 1
        if recipe.lookahead and state.lookahead and self.steps_done % recipe.lookahead.every == 0:
            state.lookahead.pull(recipe.lookahead.weight(self.progress))
        return totals

    def update(self, batch: tuple[Any, ...], totals: "tf.Tensor", step: int) -> "tf.Tensor":
        """Update the weights by a batch, after filtering; return the new totals."""
        if self.filter:
            batch = self.filter.choose(batch, step)
        return self.train_step(batch, totals)

    def _read_totals(self, totals: "tf.Tensor", bar: "tqdm[Any]") -> None:
        """Wait for the device, check the loss and show the totals."""
        values = np.asarray(totals)
        if not np.isfinite(values[0]):
            raise DivergedError(self.run, self.state.epoch + 1, values[0])
        self.state.totals = values
        show_totals(bar, values, self.source.images(self.state.step))

    def _end_epoch(self) -> None:
        """Validate, record the epoch, save the state and print a line."""
        state = self.state
        if state.lookahead and self.steps_done == self.total_steps:
            state.lookahead.pull(1.0)  # the slow weights are the result
        row = measure_epoch(self)
        state.history.append(row)
        state.start_next_epoch()
        self.checkpoint.save()
        self.write_history()
        say(format_epoch(row, self.recipe.epochs))

    def write_history(self) -> None:
        """Write history.csv and, if asked for, the event files of TensorBoard."""
        write_history(self.run.history_file, self.state.history)
        if self.tensorboard:
            write_events(self.run.events_folder, self.state.history, self.run.started)


def measure_work(training: Training) -> Callable[[], float]:
    """Return a function that returns the share of a training's operations that is done."""
    if len(training.recipe.phases) == 1:
        return lambda: training.progress
    flops = flops_of_steps(training.recipe, training.state, training.source, training.total_steps)
    done = list(itertools.accumulate(flops, initial=0))
    return lambda: done[training.steps_done] / done[-1]


def measure_epoch(training: Training) -> dict[str, Any]:
    """Return the row of the current epoch; keep its weights if best."""
    state = training.state
    started = time.monotonic()
    learning_rate = state.schedule.learning_rate
    loss, correct, count = (float(value) for value in state.totals)
    val_loss = val_accuracy = None
    if len(training.validation):
        val_loss, probabilities = training.evaluator.evaluate(training.validation)
        val_accuracy = accuracy_of(probabilities, training.validation)
        is_best = state.schedule.end_epoch(training.recipe, state.epoch, val_loss)
        if is_best and training.recipe.early_stopping:
            state.best_weights = state.model.get_weights()
    return {
        "epoch": state.epoch + 1,
        "loss": loss / count,
        "accuracy": correct / count,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "learning_rate": learning_rate,
        "seconds": round(state.epoch_seconds + time.monotonic() - started, 3),
    }
