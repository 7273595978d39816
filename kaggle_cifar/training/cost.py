"""The floating-point operations of a training, counted as papers do."""

import functools
import itertools
from collections.abc import Callable, Iterator

from kaggle_cifar import models
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.batches import BatchSource
from kaggle_cifar.training.state import TrainingState

TRAINED = 3  # forward passes that a step costs: its backward pass takes as long as two


def count_flops(
    recipe: Recipe, state: TrainingState, source: BatchSource, steps: int, total_steps: int
) -> int:
    """Return the operations of the first `steps` of `total_steps` steps."""
    return sum(itertools.islice(flops_of_steps(recipe, state, source, total_steps), steps))


def flops_of_steps(
    recipe: Recipe, state: TrainingState, source: BatchSource, total_steps: int
) -> Iterator[int]:
    """Yield the operations of each of `total_steps` steps.

    That includes the passes of the proxy network, if the recipe filters its images.
    """
    flops: Callable[..., int] = functools.cache(models.flops)
    filtering = recipe.filtering
    for step in range(total_steps):
        phase = recipe.phase(step / total_steps)
        size = phase.image_size
        images, total = source.batch_images(step % source.steps), 0
        if filtering and state.proxy:
            passes = 1 if step % filtering.every else TRAINED
            total += passes * flops(state.proxy.model, size) * images
            images = filtering.count(images)
        passes = 2 * TRAINED if phase.sharpness else TRAINED
        yield total + passes * flops(state.model, size) * images
