"""Training as users meet it: a run folder, killed and resumed, refused with a sentence."""

import contextlib
import csv
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_data import layout_in, write_training_data

from kaggle_cifar import recipes, training
from kaggle_cifar.errors import UserError
from kaggle_cifar.inference import read_probabilities
from kaggle_cifar.runs import Run, RunOptions

# Every part of the state is at work within four short epochs: the plateau's counter, the decay,
# early stopping with its best weights, dropout's seeds, a short last batch.
RECIPE = dataclasses.replace(
    recipes.model3_tuned(),
    batch_size=16,
    epochs=4,
    plateau=recipes.Plateau(factor=0.5, patience=1),
    exponential_decay=recipes.ExponentialDecay(start=2, rate=0.1),
)
OPTIONS = RunOptions(seed=3)
IMAGES = 60  # 48 to train on: 3 steps an epoch


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    layout = layout_in(tmp_path_factory.mktemp("training"))
    write_training_data(layout, IMAGES)
    return layout


@pytest.fixture(scope="module")
def undisturbed(layout):
    return training.train(layout, RECIPE, "undisturbed", OPTIONS)


def result_of(run):
    """Return the history without its seconds, and all files of the result."""
    with (run.folder / "history.csv").open() as file:
        history = [{**row, "seconds": None} for row in csv.DictReader(file)]
    metrics = {**json.loads(run.metrics_file.read_text()), "seconds": None}
    probabilities = (run.folder / "validation_probabilities.npy").read_bytes()
    weights = [weight.tobytes() for weight in run.load_model().get_weights()]
    return history, metrics, probabilities, weights


def test_a_run_folder_holds_all_that_the_design_names(undisturbed):
    names = {path.name for path in undisturbed.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        "recipe.json",
        "environment.json",
        "history.csv",
        "metrics.json",
        "model.weights.h5",
        "summary.txt",
        "figures",
        "validation_probabilities.npy",
        "validation_probabilities-tta.npy",
    }
    assert undisturbed.read_recipe() == (RECIPE, OPTIONS)
    assert "309,290" in (undisturbed.folder / "summary.txt").read_text()
    with Image.open(undisturbed.folder / "figures" / "curves.png") as picture:
        assert picture.width > 800
    environment = json.loads((undisturbed.folder / "environment.json").read_text())
    assert environment["packages"]["tensorflow"] and environment["machine"]["cores"]


def test_the_metrics_are_those_of_the_kept_weights(undisturbed, layout):
    metrics = json.loads(undisturbed.metrics_file.read_text())
    history = result_of(undisturbed)[0]
    best = min(history, key=lambda row: float(row["val_loss"]))
    assert metrics["best_epoch"] == int(best["epoch"])
    assert metrics["validation_accuracy"] == pytest.approx(float(best["val_accuracy"]))
    assert metrics["validation_loss"] == pytest.approx(float(best["val_loss"]), rel=1e-5)
    kept = read_probabilities(undisturbed.folder / "validation_probabilities.npy")
    np.testing.assert_array_equal(kept["id"], np.arange(49, 61))  # the last 20 %
    right = kept["probabilities"].argmax(axis=1) == kept["id"] % 10
    assert metrics["validation_accuracy"] == pytest.approx(right.mean())


def test_a_second_call_leaves_a_finished_run_alone(undisturbed, layout, capsys):
    before = undisturbed.metrics_file.stat().st_mtime_ns
    training.train(layout, RECIPE, "undisturbed", OPTIONS)
    assert "is finished" in capsys.readouterr().out
    assert undisturbed.metrics_file.stat().st_mtime_ns == before


def kill_at(monkeypatch, place, count):
    """Kill the next training at the `count`-th call of a function of this program."""
    module, name = place
    original, calls = getattr(module, name), []

    def killing(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, killing)


@pytest.mark.parametrize(
    ("interval", "place", "counts"),
    [
        (0, (np, "savez"), [2, 5, 3]),  # in the middle of a checkpoint, each step being saved
        (1e9, (np, "savez"), [2]),  # one epoch is lost
        (0, (training, "save_checkpoint"), [1, 4]),  # just before it; in the very first step
        (1e9, (training, "write_text"), [4]),  # the last state saved, its row not yet
        (1e9, (training, "draw_curves"), [1]),  # at the end, half of the result written
    ],
)
def test_a_killed_training_ends_as_an_undisturbed_one(
    undisturbed, layout, monkeypatch, request, interval, place, counts
):
    monkeypatch.setattr(training, "LOOK_INTERVAL", 0)
    monkeypatch.setattr(training, "CHECKPOINT_INTERVAL", interval)
    name = f"killed-{request.node.callspec.id}"
    for count in counts:
        with monkeypatch.context() as patch:
            kill_at(patch, place, count)
            with pytest.raises(Killed):
                training.train(layout, RECIPE, name, OPTIONS)
        assert not Run(layout.runs / name).finished
    assert result_of(training.train(layout, RECIPE, name, OPTIONS)) == result_of(undisturbed)


def start_training(layout, *arguments):
    folders = ("--data-dir", str(layout.data), "--runs-dir", str(layout.runs))
    command = [sys.executable, "-m", "kaggle_cifar", *folders, "train", "model3", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_sigkill_at_random_moments_changes_nothing(layout):
    arguments = ("--epochs", "60", "--seed", "1", "--set", "early_stopping.patience=60")
    moments = random.Random(0)
    for _ in range(3):
        process = start_training(layout, *arguments, "--name", "killed")
        process.stdout.readline()  # it has begun, or gone on
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0, 2))
        process.kill()
        process.communicate()
        assert not Run(layout.runs / "killed").finished
    killed, whole = (start_training(layout, *arguments, "--name", n) for n in ("killed", "whole"))
    output, errors = killed.communicate()
    assert killed.returncode == 0, errors
    assert "Going on with killed at epoch" in output
    assert errors == ""  # none of TensorFlow's chatter
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors
    assert result_of(Run(layout.runs / "killed")) == result_of(Run(layout.runs / "whole"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_state_and_stops(layout, number, status):
    name = f"stopped-{status}"
    process = start_training(layout, "--epochs", "5000", "--name", name)
    process.stdout.readline()
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == status, errors
    assert "The same command goes on with it" in output
    assert "Traceback" not in errors
    assert (layout.runs / name / "checkpoint" / "state.npz").exists()


def test_the_same_name_with_another_recipe_is_refused_with_both(undisturbed, layout):
    other = dataclasses.replace(RECIPE, batch_size=32)
    with pytest.raises(UserError, match="batch_size: 16, now 32"):
        training.train(layout, other, "undisturbed", OPTIONS)
    with pytest.raises(UserError, match="seed: 3, now 4"):
        training.train(layout, RECIPE, "undisturbed", RunOptions(seed=4))


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".hidden", "/root"])
def test_a_name_that_leads_elsewhere_is_refused(layout, name):
    with pytest.raises(UserError, match="A run's name"):
        training.train(layout, RECIPE, name, OPTIONS)


def test_changed_data_is_refused(layout, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            training.train(layout, RECIPE, "changed", OPTIONS)
    path = layout.images("train") / "7.png"
    whole = path.read_bytes()
    Image.new("RGB", (32, 32)).save(path)
    try:
        with pytest.raises(UserError, match="have changed since"):
            training.train(layout, RECIPE, "changed", OPTIONS)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 torn"])
def test_a_torn_checkpoint_is_named(layout, monkeypatch, content):
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            training.train(layout, RECIPE, f"torn-{len(content)}", OPTIONS)
    checkpoint = layout.runs / f"torn-{len(content)}" / "checkpoint" / "state.npz"
    checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"state\.npz is not a checkpoint"):
        training.train(layout, RECIPE, f"torn-{len(content)}", OPTIONS)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"recipe": {"name": 3}, "options": {}}'])
def test_a_torn_or_foreign_recipe_is_named(layout, content):
    folder = layout.runs / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.json").write_text(content)
    with pytest.raises(UserError, match=r"foreign/recipe\.json"):
        training.train(layout, RECIPE, "foreign", OPTIONS)


def test_a_loss_that_is_no_number_stops_the_run(layout):
    diverging = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(UserError, match="has diverged"):
        training.train(layout, diverging, "diverging", OPTIONS)
    assert not Run(layout.runs / "diverging").finished


def test_validation_none_contradicts_early_stopping(layout):
    with pytest.raises(UserError, match="--validation none"):
        training.train(layout, RECIPE, "none", RunOptions(validation="none"))


@pytest.mark.parametrize("recipe", ["model1", "model2"])
def test_networks_that_give_logits_train_and_keep_the_last_epoch(layout, recipe):
    recipe = dataclasses.replace(recipes.find_recipe(recipe), epochs=2)
    run = training.train(layout, recipe, recipe.name, OPTIONS)
    metrics = json.loads(run.metrics_file.read_text())
    history = result_of(run)[0]
    assert metrics["best_epoch"] == 2
    assert metrics["validation_loss"] == pytest.approx(float(history[-1]["val_loss"]))


def test_without_validation_all_images_are_trained_on(layout):
    plain = dataclasses.replace(RECIPE, early_stopping=None, plateau=None, epochs=1)
    run = training.train(layout, plain, "all", RunOptions(validation="none"))
    metrics = json.loads(run.metrics_file.read_text())
    assert (metrics["train_images"], metrics["validation_images"]) == (IMAGES, 0)
    assert "validation_accuracy" not in metrics


def test_two_trainings_of_one_name_do_not_mix(layout):
    from kaggle_cifar.storage import lock

    with (
        lock(layout.runs / "twice", "training"),
        pytest.raises(UserError, match="Another training"),
    ):
        training.train(layout, RECIPE, "twice", OPTIONS)


def test_mixed_precision_trains_and_resumes(layout, monkeypatch):
    options = RunOptions(mixed_precision=True)
    whole = training.train(layout, RECIPE, "mixed", options)
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            training.train(layout, RECIPE, "mixed-killed", options)
    assert result_of(training.train(layout, RECIPE, "mixed-killed", options)) == result_of(whole)


# Two logical CPUs stand for two GPUs; they must be set up before TensorFlow starts.
TWO_DEVICES = """
import dataclasses, json, sys
from pathlib import Path
import tensorflow as tf
from kaggle_cifar import recipes
from kaggle_cifar.dataset import load_training_set
from kaggle_cifar.runs import Run, RunOptions
from kaggle_cifar.storage import Layout
from kaggle_cifar.training import Training

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
recipe = dataclasses.replace(recipes.find_recipe(sys.argv[3]), epochs=2, batch_size=16)
data = load_training_set(Layout(Path(sys.argv[1])))
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, strategy in {"one": one, "two": two}.items():
    with strategy.scope():
        training = Training(Run(Path(sys.argv[2], name)), recipe, RunOptions(), data, strategy)
    training.run_epochs(lambda: None)
    training.finish()
"""


@pytest.mark.parametrize("recipe", ["model1", "model3-tuned"])
def test_several_devices_share_each_batch(layout, tmp_path, recipe):
    arguments = [str(layout.data), str(tmp_path), recipe]
    subprocess.run([sys.executable, "-c", TWO_DEVICES, *arguments], check=True)
    one, two = (Run(tmp_path / name).read_history() for name in ("one", "two"))
    if recipe == "model1":  # without dropout and batch statistics the course is the same
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose([r[key] for r in two], [r[key] for r in one], rtol=1e-4)
    assert [row["epoch"] for row in two] == [1, 2]
    assert Run(tmp_path / "two").finished
