"""Choose the number of epochs that a time budget allows."""

import dataclasses
import time

import numpy as np

from kaggle_cifar.console import counted, duration, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training import evaluator, result
from kaggle_cifar.training.loop import Training

TIMED_STEPS = 3  # at least
TIMED_SHARE = 0.02  # of the time budget or of all steps, whichever is done first
LONGEST_TIMED = 30.0  # seconds
USED_SHARE = 0.95  # of the remaining time, because machines slow down


class TimeBudgetError(UserError):
    """A time budget allows no step; `seconds` is what one step takes."""

    def __init__(self, recipe: str, seconds: float) -> None:
        super().__init__(
            f"The time budget is too short for {recipe}: a step takes {seconds:.1f} s, and reading "
            "the data and evaluating the result take the rest. Use a longer --time-budget or a "
            "smaller recipe."
        )
        self.seconds = seconds


def fit_recipe(training: Training, seconds: float) -> Recipe:
    """Return the recipe with as many of its epochs as fit into `seconds`.

    That includes the evaluation of the result. The first steps and an evaluation are timed; the
    state of the training is restored then.

    Raises
    ------
    TimeBudgetError
        If not even a step fits.
    """
    recipe, source, total = training.recipe, training.source, training.total_steps
    say(f"Timing the first steps of {recipe.name}, to fit it into {duration(seconds)}.")
    started = time.monotonic()
    values, arrays = training.state.export()
    step = time_steps(training, min(TIMED_SHARE * seconds, LONGEST_TIMED))
    image = time_evaluation(training)
    training.state.restore(values, arrays)
    result_seconds = result.count_evaluated_images(training) * image
    remaining = seconds - (time.monotonic() - started) - result_seconds
    step_and_validation = step + len(training.validation) * image / source.steps
    steps = min(int(USED_SHARE * remaining / step_and_validation), total)
    if steps < 1:
        raise TimeBudgetError(recipe.name, step)
    epochs = steps / source.steps if steps < total else recipe.epochs
    say(
        f"{source.images(1) / step:,.0f} images/s: the time budget is enough "
        f"for {counted(float(f'{epochs:.4g}'), 'epoch')} of {recipe.name}."
    )
    return dataclasses.replace(recipe, epochs=epochs)


def time_steps(training: Training, enough: float) -> float:
    """Return the mean seconds of a compiled step over the training's phases.

    `enough` seconds are measured, or a share of the training's steps. The state changes.
    """
    current, seconds = training.phase, 0.0
    for phase, share in training.recipe.phases.items():
        if phase != training.phase:
            training.compile_step(phase)
        seconds += share * time_steps_of_phase(training, share * enough)
    if training.phase != current:
        training.compile_step(current)
    return seconds


def time_steps_of_phase(training: Training, enough: float) -> float:
    """Return the seconds of a compiled step in the phase compiled for; see `time_steps`."""
    enough_steps = max(TIMED_STEPS, TIMED_SHARE * training.total_steps)
    batches = training.source.batches(0, 0, training.source.steps).repeat()
    # The steps that compile; with a proxy, the second differs, because it does not train it.
    compiled = 2 if training.filter else 1
    totals, started = training.state.totals, 0.0
    for step, batch in enumerate(training.strategy.experimental_distribute_dataset(batches)):
        totals = training.update(batch, totals, step)
        np.asarray(totals)  # waits for the device
        count = step + 1 - compiled
        if count == 0:
            started = time.monotonic()
        if count >= enough_steps:
            break
        if count >= TIMED_STEPS and time.monotonic() - started > enough:
            break
    return (time.monotonic() - started) / count


def time_evaluation(training: Training) -> float:
    """Return the seconds that the evaluation of an image takes."""
    count = min(evaluator.BATCH_SIZE, len(training.data))
    data = training.data.take(np.arange(count))
    training.evaluator.evaluate(data)  # compiles
    started = time.monotonic()
    training.evaluator.evaluate(data)
    return (time.monotonic() - started) / count
