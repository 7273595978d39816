"""The training step: its loss, the variables that it trains, several devices."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from kaggle_cifar import models, recipes
from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.tensorflow_setup import dtype_policy
from kaggle_cifar.training import loop
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.step import WhiteningLayerError
from kaggle_cifar.training.train import train
from tests.helpers.small_data import project_in, small_airbench, write_training_data
from tests.training.conftest import OPTIONS

pytestmark = pytest.mark.slow


def watch_epochs(monkeypatch, look):
    """Return a list that gets `look(state)` at the end of the steps of each epoch."""
    seen, end_epoch = [], loop.Training._end_epoch

    def watching(self):
        seen.append(look(self.state))
        end_epoch(self)

    monkeypatch.setattr(loop.Training, "_end_epoch", watching)
    return seen


def values_of(variables):
    return [np.array(variable) for variable in variables]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_loss_is_the_formula(project, smoothing):
    import keras

    recipe = small_airbench(
        label_smoothing=smoothing,
        batch_size=48,
        epochs=1,
        augmentation=None,
        lookahead=None,
        mixed_precision=False,
    )
    run = train(project, recipe, f"smoothed-{smoothing}", OPTIONS)
    data = load_training_set(project).take(np.arange(48))
    keras.utils.set_random_seed(OPTIONS.seed)
    policy = dtype_policy(recipe.precision)
    model = models.build(recipe.network, recipe.network_options, policy)
    models.adapt(recipe.network, model, data.pixels)
    logits = np.asarray(model(data.pixels, training=True)).astype(float)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.eye(10)[data.labels] * (1 - smoothing) + smoothing / 10
    expected = -(targets * logs).sum(axis=1).mean()
    assert run.read_history()[0]["loss"] == pytest.approx(expected, rel=1e-5)


def test_whitening_bias_is_frozen_after_its_epochs(project, monkeypatch):
    def whitening(state):
        layer = state.model.get_layer("whitening")
        return values_of((layer.kernel, layer.bias, state.model.trainable_variables[1]))

    epochs = watch_epochs(monkeypatch, whitening)
    train(project, small_airbench(lookahead=None, epochs=4), "whitening", OPTIONS)
    filters, biases, others = zip(*epochs, strict=True)
    for later in filters[1:]:
        np.testing.assert_array_equal(later, filters[0])
    assert np.abs(biases[0]).max() > 0
    assert (biases[1] != biases[0]).any()
    np.testing.assert_array_equal(biases[2], biases[1])
    np.testing.assert_array_equal(biases[3], biases[1])
    assert (others[3] != others[2]).any()


def test_filters_that_do_not_whiten_are_trained(project, monkeypatch):
    def first_layer(state):
        layer = state.model.get_layer("whitening")
        return values_of((layer.kernel, layer.bias))

    epochs = watch_epochs(monkeypatch, first_layer)
    options = {"widths": [8, 8, 8], "whitening": False}
    recipe = small_airbench(
        network_options=options, whitening_bias_epochs=0, lookahead=None, epochs=2
    )
    train(project, recipe, "plain-filters", OPTIONS)
    filters, biases = zip(*epochs, strict=True)
    assert (filters[1] != filters[0]).any()
    np.testing.assert_array_equal(biases[-1], 0)


def test_frozen_bias_needs_a_whitening_layer(project):
    recipe = dataclasses.replace(recipes.model1(), whitening_bias_epochs=1)
    with pytest.raises(WhiteningLayerError) as caught:
        train(project, recipe, "unwhitened", OPTIONS)
    assert caught.value.network == "model1"
    assert not (project.runs / "unwhitened").exists()


def test_slow_weights_are_the_result(project, monkeypatch):
    epochs = watch_epochs(
        monkeypatch,
        lambda state: (values_of(state.model.variables), values_of(state.lookahead.slow)),
    )
    run = train(project, small_airbench(epochs=1), "slow", OPTIONS)
    [(fast, slow)] = epochs  # four steps: the slow weights are one behind
    assert any((value != other).any() for value, other in zip(fast, slow, strict=True))
    for value, expected in zip(values_of(run.load_model().variables), slow, strict=True):
        np.testing.assert_array_equal(value, expected)


# Two logical CPUs stand for two GPUs. They must be set up before TensorFlow starts.
TWO_DEVICES = """
import json, sys
from pathlib import Path
import tensorflow as tf
from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.recipes.validation import from_json
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.result import write_result
from kaggle_cifar.training.run import Run

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
data = load_training_set(ProjectPaths(Path(sys.argv[1])))
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, policy, recipe in json.loads(sys.argv[3]):
    for devices, strategy in {"one": one, "two": two}.items():
        if devices == "one" and name != "model1":
            continue
        with strategy.scope():
            run = Run(Path(sys.argv[2], f"{name}-{devices}"))
            recipe = recipe if isinstance(recipe, Recipe) else from_json(Recipe, recipe)
            training = Training(run, recipe, RunOptions(), data, strategy, policy)
        list(training.run_epochs(lambda: None))
        write_result(training)
"""


def train_on_two_devices(project, runs, cases, **changes):
    """Train recipes, each in a precision, on two devices; train model1 on one device, too."""
    content = [
        (name, policy, dataclasses.asdict(dataclasses.replace(recipe, name="shared", **changes)))
        for name, (policy, recipe) in cases.items()
    ]
    arguments = [str(project.data), str(runs), json.dumps(content)]
    subprocess.run([sys.executable, "-c", TWO_DEVICES, *arguments], check=True)


def assert_same_losses(runs):
    """Compare the devices by model1, which has neither dropout nor batch statistics."""
    one, two = (Run(runs / f"model1-{devices}").read_history() for devices in ("one", "two"))
    for key in ("loss", "accuracy", "val_loss"):
        np.testing.assert_allclose([r[key] for r in two], [r[key] for r in one], rtol=1e-4)


def test_several_devices_share_each_batch(project, tmp_path):
    muon = {"optimizer": "muon", "muon": recipes.Muon(0.1, 0.6)}
    small = {"epochs": 2, "whitening_bias_epochs": 1}
    cases = {
        "model1": ("float32", recipes.model1()),
        "model3-tuned": ("float32", recipes.model3_tuned()),
        "sgd": ("mixed_float16", small_airbench(**small)),
        "muon": ("float32", small_airbench(**small, **muon)),
        "sharp": ("mixed_float16", small_airbench(**small, sharpness=recipes.Sharpness(0.5))),
    }
    train_on_two_devices(project, tmp_path, cases, epochs=2, batch_size=20)
    for name in cases:
        run = Run(tmp_path / f"{name}-two")
        assert [row["epoch"] for row in run.read_history()] == [1, 2]
        assert all(np.isfinite(row["val_loss"]) for row in run.read_history())
        assert run.finished
    assert_same_losses(tmp_path)


def test_device_without_images_gets_some_of_weight_0(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 82)  # 65 to train on: a batch of 64, then a batch of 1
    cases = {
        "model1": ("float32", recipes.model1()),
        "sgd": ("mixed_float16", small_airbench(drop_last=False)),
    }
    train_on_two_devices(project, project.runs, cases, epochs=2, batch_size=64)
    assert_same_losses(project.runs)
    history = Run(project.runs / "sgd-two").read_history()
    assert all(np.isfinite(row["val_loss"]) for row in history)  # so are its batch statistics
