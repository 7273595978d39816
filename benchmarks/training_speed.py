"""Compare this program's training of Model 3 with Keras' `fit` and PyTorch.

    python benchmarks/training_speed.py --data-dir data

All use the recipe `model3` and batches of 64 real images, and the measurements alternate. The
benchmark prints images/s, the ratio to `fit`, and the differences between the losses of the first
20 steps. Those steps omit dropout, which each side draws from other random numbers. PyTorch is
measured if it is installed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar import recipes
from kaggle_cifar.data.dataset import TrainingSet, load_training_set
from kaggle_cifar.devices.gpus import training_strategy
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

BATCH_SIZE = 64
COMPARED_STEPS = 20
STEPS_PER_ROUND = 60


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements")
    arguments = parser.parse_args()
    start_tensorflow()
    strategy = training_strategy(BATCH_SIZE)
    try:
        count = STEPS_PER_ROUND * BATCH_SIZE
        data = load_training_set(ProjectPaths(arguments.data_dir), limit=count)
    except UserError as error:
        sys.exit(f"This benchmark needs the real training images: {error}")
    compare_losses(data, strategy)
    compare_speed(data, strategy, arguments.rounds)


def compare_losses(data: TrainingSet, strategy: "tf.distribute.Strategy") -> None:
    """Print how much the first losses differ from Keras and by rounding alone.

    RMSprop's first steps have nearly the same length for every weight. If a gradient is only
    rounding error, its step goes in either direction. Reversing the images of a batch changes the
    rounding and nothing else.
    """
    own = own_training(data, strategy)
    plain, permuted = plain_keras(own.state.model), plain_keras(own.state.model)
    for model in (own.state.model, plain, permuted):
        remove_dropout(model)
    weights = np.full(BATCH_SIZE, 1 / BATCH_SIZE, np.float32)
    from_keras, from_rounding = [], []
    for start in range(0, COMPARED_STEPS * BATCH_SIZE, BATCH_SIZE):
        pixels, labels = (a[start : start + BATCH_SIZE] for a in (data.pixels, data.labels))
        totals = own.train_step((pixels, labels, weights), np.zeros(3, np.float32))
        loss = float(totals[0] / totals[2])
        scaled = pixels / np.float32(255)
        keras_loss = float(plain.train_on_batch(scaled, labels))
        permuted_loss = float(permuted.train_on_batch(scaled[::-1], labels[::-1]))
        from_keras.append(abs(loss - keras_loss))
        from_rounding.append(abs(permuted_loss - keras_loss))
    for name, differences in (
        ("kaggle-cifar", from_keras),
        ("Keras, images reversed", from_rounding),
    ):
        steps = " ".join(f"{difference:.0e}" for difference in differences)
        print(f"loss of each step, {name} - Keras: {steps}")


def compare_speed(data: TrainingSet, strategy: "tf.distribute.Strategy", rounds: int) -> None:
    """Print the images/s of `fit`, of this program's steps and of PyTorch."""
    own = own_training(data, strategy)
    plain = plain_keras(own.state.model)
    scaled = data.pixels / np.float32(255)

    def fit_round() -> float:
        return seconds_of_batches(plain.fit, scaled, data.labels, BATCH_SIZE)

    def own_round() -> float:
        started = time.perf_counter()
        totals = np.zeros(3, np.float32)
        for batch in own.source.batches(0, 0, own.source.steps):
            totals = own.train_step(batch, totals)
        np.asarray(totals)
        return time.perf_counter() - started

    rounds_by_name = {"fit": fit_round, "kaggle-cifar": own_round}
    if find_spec("torch"):
        rounds_by_name["torch"] = torch_training(data)
    speeds: dict[str, list[float]] = {name: [] for name in rounds_by_name}
    for _ in range(rounds + 1):  # the first compiles
        for name, work in rounds_by_name.items():
            speeds[name].append(len(data) / work())
    medians = {name: statistics.median(values[1:]) for name, values in speeds.items()}
    for name, speed in medians.items():
        spread = f"{min(speeds[name][1:]):,.0f} to {max(speeds[name][1:]):,.0f}"
        print(f"{name:12} {speed:7,.0f} images/s, median of {rounds} rounds ({spread})")
    print(f"kaggle-cifar / fit: {medians['kaggle-cifar'] / medians['fit']:.2f}")


def seconds_of_batches(
    work: Callable[..., object], images: np.ndarray, labels: np.ndarray, batch_size: int
) -> float:
    """Return the seconds that a model's `fit` or `evaluate` spends on its batches.

    The end of the iterator is excluded, because TensorFlow's autotuning may block it for seconds.
    """
    from keras.callbacks import LambdaCallback

    times: list[float] = []

    def record_time(batch: int, logs: dict[str, Any] | None = None) -> None:
        times.append(time.perf_counter())

    timer = LambdaCallback(
        on_train_batch_begin=record_time,
        on_train_batch_end=record_time,
        on_test_batch_begin=record_time,
        on_test_batch_end=record_time,
    )
    work(images, labels, batch_size=batch_size, verbose=0, callbacks=[timer])
    return times[-1] - times[0]


def own_training(data: TrainingSet, strategy: "tf.distribute.Strategy") -> Training:
    """Return this program's training of Model 3; it writes no run folder."""
    return Training(
        Run(Path("nowhere")), recipes.model3(), RunOptions(validation="none"), data, strategy
    )


def plain_keras(model: "keras.Model") -> "keras.Model":
    """Return Model 3 as the student project wrote it, with the weights of `model`."""
    import keras
    from keras import layers

    from kaggle_cifar.models.model3 import DROPOUTS, L2, WIDTHS
    from kaggle_cifar.training.optimizers import LegacyRMSprop

    inputs = keras.Input((32, 32, 3))
    x = inputs
    for filters, dropout in zip(WIDTHS, DROPOUTS, strict=True):
        for _ in range(2):
            regularizer = keras.regularizers.L2(L2)
            x = layers.Conv2D(filters, 3, padding="same", kernel_regularizer=regularizer)(x)
            x = layers.Activation("elu")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D()(x)
        x = layers.Dropout(dropout)(x)
    outputs = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    plain = keras.Model(inputs, outputs)
    plain.set_weights(model.get_weights())
    plain.compile(LegacyRMSprop(1e-3, 1e-6), "sparse_categorical_crossentropy")
    return plain


def remove_dropout(model: "keras.Model") -> None:
    """Set the rate of every dropout layer to zero."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def torch_training(data: TrainingSet) -> Callable[[], float]:
    """Return a function that times a round of the same network in PyTorch."""
    import torch
    from torch import nn

    from kaggle_cifar.models.model3 import DROPOUTS, L2, WIDTHS

    torch.set_num_threads(2)
    modules, channels = [], 3
    for filters, dropout in zip(WIDTHS, DROPOUTS, strict=True):
        for _ in range(2):
            modules += [
                nn.Conv2d(channels, filters, 3, padding=1),
                nn.ELU(),
                nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01),
            ]
            channels = filters
        modules += [nn.MaxPool2d(2), nn.Dropout(dropout)]
    network = nn.Sequential(*modules, nn.Flatten(), nn.Linear(channels * 16, 10))
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.RMSprop(network.parameters(), 1e-3, alpha=0.9, eps=1e-7)
    scaled = torch.from_numpy(data.pixels.transpose(0, 3, 1, 2) / np.float32(255))
    scaled = scaled.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(data.labels).long()
    kernels = [module.weight for module in modules if isinstance(module, nn.Conv2d)]

    def train_round() -> float:
        started = time.perf_counter()
        for i in range(0, len(labels), BATCH_SIZE):
            optimizer.zero_grad()
            logits = network(scaled[i : i + BATCH_SIZE])
            loss = nn.functional.cross_entropy(logits, labels[i : i + BATCH_SIZE])
            (loss + L2 * sum(kernel.square().sum() for kernel in kernels)).backward()
            optimizer.step()
        return time.perf_counter() - started

    return train_round


if __name__ == "__main__":
    main()
