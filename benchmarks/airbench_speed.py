"""Compare the training steps of a recipe with the bare forward and backward pass.

    python benchmarks/airbench_speed.py --data-dir data airbench94

The bare pass is compiled and repeats one batch in memory, without augmentation, optimizer and
Lookahead. The two alternate. The ratio of their speeds shows what everything else costs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar import recipes
from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.devices.gpus import training_strategy
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.tensorflow_setup import dtype_policy, start_tensorflow
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.losses import image_losses
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.step import variables_to_train

if TYPE_CHECKING:
    import tensorflow as tf

ROUNDS = 7


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--steps", type=int, default=10, help="number of steps per round")
    parser.add_argument("--data-dir", type=Path, default="data")
    arguments = parser.parse_args()
    recipe = recipes.find_recipe(arguments.recipe)
    start_tensorflow()
    strategy = training_strategy(recipe.batch_size)
    policy = dtype_policy(recipe.precision)
    try:
        count = arguments.steps * recipe.batch_size
        data = load_training_set(ProjectPaths(arguments.data_dir), limit=count)
    except UserError as error:
        sys.exit(f"This benchmark needs the real training images: {error}")
    options = RunOptions(validation="none")
    training = Training(Run(Path("nowhere")), recipe, options, data, strategy, policy)
    # Most epochs do not train the whitening bias, so the first ones are skipped.
    training.state.epoch = recipe.whitening_bias_epochs or 0
    training.compile_step()
    bare_step = compile_bare_step(training)
    seconds: dict[str, list[float]] = {"training": [], "bare": []}
    for _ in range(ROUNDS + 1):  # the first compiles
        seconds["training"].append(time_training(training, arguments.steps))
        seconds["bare"].append(time_bare(bare_step, arguments.steps))
    speeds = {name: [count / second for second in values[1:]] for name, values in seconds.items()}
    for name, values in speeds.items():
        median = statistics.median(values)
        spread = f"{min(values):,.0f} to {max(values):,.0f}"
        print(f"{name:9} {median:7,.0f} images/s, median of {ROUNDS} rounds ({spread})")
    ratios = [t / b for t, b in zip(speeds["training"], speeds["bare"], strict=True)]
    print(f"training / bare: {statistics.median(ratios):.3f}")


def time_training(training: Training, steps: int) -> float:
    """Return the seconds of complete training steps."""
    started = time.perf_counter()
    totals = np.zeros(3, np.float32)
    training.state.step = 0
    for batch in training.source.batches(training.state.epoch, 0, steps):
        totals = training.run_step(batch, totals)
    np.asarray(totals)
    return time.perf_counter() - started


def compile_bare_step(training: Training) -> "Callable[[], list[tf.Tensor]]":
    """Return a function that computes the gradients for a fixed batch."""
    import tensorflow as tf

    recipe, model = training.recipe, training.state.model
    pixels = tf.constant(training.data.pixels[: recipe.batch_size])
    labels = tf.constant(training.data.labels[: recipe.batch_size])
    variables = variables_to_train(model, recipe, training.state.epoch)

    @tf.function(autograph=False)
    def bare_step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = model(pixels, training=True)
            loss = tf.reduce_mean(image_losses(model, labels, outputs, recipe.label_smoothing))
        return tape.gradient(loss, variables)

    return bare_step


def time_bare(bare_step: "Callable[[], list[tf.Tensor]]", steps: int) -> float:
    """Return the seconds of the bare steps."""
    started = time.perf_counter()
    for _ in range(steps):
        gradients = bare_step()
        np.asarray(gradients[-1])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
