"""Training as users meet it: a run folder, killed and resumed, refused with a sentence."""

import contextlib
import csv
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaggle_cifar import models, recipes
from kaggle_cifar.data.dataset import SplitError, load_training_set
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_json
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.ownership import ForeignPathError, foreign_names
from kaggle_cifar.tensorflow_setup import dtype_policy
from kaggle_cifar.training import loop
from kaggle_cifar.training.run import Run, RunOptions
from tests.helpers.small_data import project_in, small_airbench, write_training_data

# Every part of the state is at work within four short epochs: the plateau's counter, the decay,
# early stopping with its best weights, dropout's seeds, a short last batch.
RECIPE = dataclasses.replace(
    recipes.model3_tuned(),
    batch_size=20,
    epochs=4,
    plateau=recipes.ReduceLROnPlateau(factor=0.5, patience=1),
    exponential_decay=recipes.ExponentialDecay(start=2, rate=0.1),
)
OPTIONS = RunOptions(seed=3)
IMAGES = 60  # 48 to train on: 20, 20 and 8 an epoch


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("training"))
    write_training_data(project, IMAGES)
    return project


@pytest.fixture(scope="module")
def undisturbed(project):
    return loop.train(project, RECIPE, "undisturbed", OPTIONS)


def result_of(run):
    """Return the history without its seconds, and all files of the result."""
    with (run.folder / "history.csv").open() as file:
        history = [{**row, "seconds": None} for row in csv.DictReader(file)]
    metrics = {**json.loads(run.metrics_file.read_text()), "seconds": None}
    probabilities = [
        run.probabilities_file("validation", views).read_bytes() for views in ("plain", "tta")
    ]
    weights = [weight.tobytes() for weight in run.load_model().get_weights()]
    return history, metrics, probabilities, weights


def test_a_run_folder_holds_all_that_the_design_names(undisturbed):
    names = {path.name for path in undisturbed.folder.iterdir() if not path.name.startswith(".")}
    assert names == {
        "run.json",
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


def test_the_metrics_are_those_of_the_kept_weights(undisturbed, project):
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


def test_a_second_call_leaves_a_finished_run_alone(undisturbed, project, capsys):
    before = undisturbed.metrics_file.stat().st_mtime_ns
    loop.train(project, RECIPE, "undisturbed", OPTIONS)
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
        (0, (loop, "save_checkpoint"), [1, 4]),  # just before it; in the very first step
        (1e9, (loop, "write_text"), [4]),  # the last state saved, its row not yet
        (1e9, (loop, "draw_curves"), [1]),  # at the end, half of the result written
    ],
)
def test_a_killed_training_ends_as_an_undisturbed_one(
    undisturbed, project, monkeypatch, request, interval, place, counts
):
    monkeypatch.setattr(loop, "LOOK_INTERVAL", 0)
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", interval)
    name = f"killed-{request.node.callspec.id}"
    for count in counts:
        with monkeypatch.context() as patch:
            kill_at(patch, place, count)
            with pytest.raises(Killed):
                loop.train(project, RECIPE, name, OPTIONS)
        assert not Run(project.runs / name).finished
    assert result_of(loop.train(project, RECIPE, name, OPTIONS)) == result_of(undisturbed)


def start_training(project, *arguments):
    folders = ("--data-dir", str(project.data), "--runs-dir", str(project.runs))
    command = [sys.executable, "-m", "kaggle_cifar", *folders, "train", "model3", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_sigkill_at_random_moments_changes_nothing(project):
    arguments = ("--epochs", "60", "--seed", "1", "--set", "early_stopping.patience=60")
    moments = random.Random(0)
    for _ in range(3):
        process = start_training(project, *arguments, "--name", "killed")
        process.stdout.readline()  # it has begun, or gone on
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0, 2))
        process.kill()
        process.communicate()
        assert not Run(project.runs / "killed").finished
    killed, whole = (start_training(project, *arguments, "--name", n) for n in ("killed", "whole"))
    output, errors = killed.communicate()
    assert killed.returncode == 0, errors
    assert "Going on with killed at epoch" in output
    assert errors == ""  # none of TensorFlow's chatter
    _, errors = whole.communicate()
    assert whole.returncode == 0, errors
    assert result_of(Run(project.runs / "killed")) == result_of(Run(project.runs / "whole"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_state_and_stops(project, number, status):
    name = f"stopped-{status}"
    process = start_training(project, "--epochs", "5000", "--name", name)
    process.stdout.readline()
    process.send_signal(number)
    output, errors = process.communicate()
    assert process.returncode == status, errors
    assert "run the same command to resume" in output
    assert "Traceback" not in errors
    assert (project.runs / name / "checkpoint" / "state.npz").exists()


def test_the_same_name_with_another_recipe_is_refused_with_both(undisturbed, project):
    other = dataclasses.replace(RECIPE, batch_size=32)
    with pytest.raises(UserError, match="batch_size: 20, now 32"):
        loop.train(project, other, "undisturbed", OPTIONS)
    with pytest.raises(UserError, match="seed: 3, now 4"):
        loop.train(project, RECIPE, "undisturbed", RunOptions(seed=4))


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".hidden", "/root"])
def test_a_name_that_leads_elsewhere_is_refused(project, name):
    with pytest.raises(UserError, match="A run's name"):
        loop.train(project, RECIPE, name, OPTIONS)


def test_changed_data_is_refused(project, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, RECIPE, "changed", OPTIONS)
    path = project.images("train") / "7.png"
    whole = path.read_bytes()
    Image.new("RGB", (32, 32)).save(path)
    try:
        with pytest.raises(UserError, match="have changed since"):
            loop.train(project, RECIPE, "changed", OPTIONS)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", b"torn", b"PK\x03\x04 torn"])
def test_a_torn_checkpoint_is_named(project, monkeypatch, content):
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, RECIPE, f"torn-{len(content)}", OPTIONS)
    checkpoint = project.runs / f"torn-{len(content)}" / "checkpoint" / "state.npz"
    checkpoint.write_bytes(content)
    with pytest.raises(UserError, match=r"state\.npz is not a checkpoint"):
        loop.train(project, RECIPE, f"torn-{len(content)}", OPTIONS)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"recipe": {"name": 3}, "options": {}}'])
def test_a_torn_or_foreign_recipe_is_named(project, content):
    folder = project.runs / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"foreign/recipe\.json"):
        loop.train(project, RECIPE, "foreign", OPTIONS)


@pytest.mark.parametrize("foreign", ["a file", "a folder", "a file of the name"])
def test_training_refuses_a_foreign_folder(project, tmp_path, monkeypatch, foreign):
    folder = tmp_path / "Documents"
    if foreign == "a file of the name":
        folder.write_text("the only copy")
    else:
        thesis = folder / "thesis"
        thesis.parent.mkdir()
        thesis.write_text("the only copy") if foreign == "a file" else thesis.mkdir()
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    elsewhere = dataclasses.replace(project, runs=tmp_path)
    with pytest.raises(ForeignPathError) as caught:
        loop.train(elsewhere, RECIPE, "Documents", OPTIONS)
    assert caught.value.path == folder
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_training_keeps_foreign_files_of_its_folders(project, monkeypatch):
    recipe = dataclasses.replace(recipes.model1(), epochs=2)
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, recipe, "shared", OPTIONS, tensorboard=True)
    run = Run(project.runs / "shared")
    run.checkpoint_file.unlink()  # it begins again
    foreign = [
        run.folder / "checkpoint" / "notes.txt",
        run.folder / "tensorboard" / "epoch",
        run.folder / "tensorboard" / "events.out.tfevents.000001.laptop.7.v2",
        run.folder / "mine.txt",
    ]
    for path in foreign:
        path.write_text("mine")
    loop.train(project, recipe, "shared", OPTIONS, tensorboard=True)
    loop.train(project, recipe, "shared", OPTIONS, tensorboard=True)  # finished
    assert [path.read_text() for path in foreign] == ["mine"] * 4
    assert foreign_names(run.folder / "checkpoint") == ["notes.txt"]


def test_a_run_is_marked_before_anything_else(project, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, (loop, "describe_environment"), 1)
        with pytest.raises(Killed):
            loop.train(project, small_airbench(epochs=1), "marked", OPTIONS)
    folder = project.runs / "marked"
    assert foreign_names(folder) == ["run.json"]
    loop.train(project, small_airbench(epochs=1), "marked", OPTIONS)
    assert (folder / "environment.json").exists()


def test_a_loss_that_is_no_number_stops_the_run(project):
    diverging = dataclasses.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(UserError, match="has diverged"):
        loop.train(project, diverging, "diverging", OPTIONS)
    assert not Run(project.runs / "diverging").finished


def test_validation_none_contradicts_early_stopping(project):
    with pytest.raises(UserError, match="--validation none"):
        loop.train(project, RECIPE, "none", RunOptions(validation="none"))


@pytest.mark.parametrize("recipe", ["model1", "model2"])
def test_networks_that_give_logits_train_and_keep_the_last_epoch(project, recipe):
    recipe = dataclasses.replace(recipes.find_recipe(recipe), epochs=2)
    run = loop.train(project, recipe, recipe.name, OPTIONS)
    metrics = json.loads(run.metrics_file.read_text())
    history = result_of(run)[0]
    assert metrics["best_epoch"] == 2
    assert metrics["validation_loss"] == pytest.approx(float(history[-1]["val_loss"]))


def test_without_validation_all_images_are_trained_on(project):
    plain = dataclasses.replace(RECIPE, early_stopping=None, plateau=None, epochs=1)
    run = loop.train(project, plain, "all", RunOptions(validation="none"))
    metrics = json.loads(run.metrics_file.read_text())
    assert (metrics["train_images"], metrics["validation_images"]) == (IMAGES, 0)
    assert "validation_accuracy" not in metrics


def test_two_trainings_of_one_name_do_not_mix(project):
    from kaggle_cifar.files import lock

    with (
        lock(project.runs / "twice", "training"),
        pytest.raises(UserError, match="Another training"),
    ):
        loop.train(project, RECIPE, "twice", OPTIONS)


def test_mixed_precision_trains_and_resumes(project, monkeypatch):
    options = RunOptions(mixed_precision=True)
    whole = loop.train(project, RECIPE, "mixed", options)
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, RECIPE, "mixed-killed", options)
    assert result_of(loop.train(project, RECIPE, "mixed-killed", options)) == result_of(whole)


def test_mixed_precision_leaves_other_networks_alone(project, undisturbed):
    import keras

    recipe = dataclasses.replace(recipes.model1(), epochs=1)
    loop.train(project, recipe, "sixteen-bits", RunOptions(mixed_precision=True))
    assert keras.config.dtype_policy().name == "float32"
    for layer in undisturbed.load_model().layers:
        assert layer.compute_dtype in ("float32", "uint8")


# Two logical CPUs stand for two GPUs; they must be set up before TensorFlow starts.
TWO_DEVICES = """
import dataclasses, json, sys
from pathlib import Path
import tensorflow as tf
from kaggle_cifar import recipes
from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.training.run import Run, RunOptions
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.training.loop import Training

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tf.config.experimental.enable_op_determinism()
recipe = dataclasses.replace(
    recipes.find_recipe(sys.argv[3]), name="shared", epochs=2, batch_size=20
)
data = load_training_set(ProjectPaths(Path(sys.argv[1])))
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for name, strategy in {"one": one, "two": two}.items():
    with strategy.scope():
        run = Run(Path(sys.argv[2], name))
        training = Training(run, recipe, RunOptions(), data, strategy, sys.argv[4])
    list(training.run_epochs(lambda: None))
    training.finish()
"""


@pytest.mark.parametrize(
    ("recipe", "precision"),
    [
        ("model1", "float32"),
        ("model3-tuned", "float32"),
        ("sgd.json", "mixed_float16"),
        ("muon.json", "float32"),
    ],
)
def test_several_devices_share_each_batch(project, tmp_path, recipe, precision):
    if recipe.endswith(".json"):
        muon = {"optimizer": "muon", "muon": recipes.Muon(0.1, 0.6)} if recipe[0] == "m" else {}
        small = small_airbench(whitening_bias_epochs=1, **muon)
        recipe = str(tmp_path / recipe)
        write_json(Path(recipe), dataclasses.asdict(small))
    arguments = [str(project.data), str(tmp_path), recipe, precision]
    subprocess.run([sys.executable, "-c", TWO_DEVICES, *arguments], check=True)
    one, two = (Run(tmp_path / name).read_history() for name in ("one", "two"))
    if recipe == "model1":  # without dropout and batch statistics the course is the same
        for key in ("loss", "val_loss"):
            np.testing.assert_allclose([r[key] for r in two], [r[key] for r in one], rtol=1e-4)
    assert [row["epoch"] for row in two] == [1, 2]
    assert all(np.isfinite(row["val_loss"]) for row in two)
    assert Run(tmp_path / "two").finished


@pytest.mark.parametrize(
    ("before", "after"), [("mixed_float16", "float32"), ("mixed_bfloat16", "mixed_float16")]
)
def test_a_training_goes_on_in_another_precision(project, monkeypatch, before, after):
    """As on a machine whose GPU is a newer or an older one."""
    monkeypatch.setattr(loop, "dtype_policy", lambda _: before)
    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, small_airbench(), f"from-{before}", OPTIONS)
    monkeypatch.setattr(loop, "dtype_policy", lambda _: after)
    run = loop.train(project, small_airbench(), f"from-{before}", OPTIONS)
    assert run.read_metrics()["epochs"] == 4


# The fast recipes: a schedule, Lookahead, augmentation, a layer that is frozen midway.


@pytest.fixture(scope="module")
def fast(project):
    return loop.train(project, small_airbench(), "fast", OPTIONS)


@pytest.mark.parametrize(
    ("interval", "kills"),
    [
        # Each step is saved, and each epoch: 4, 4, 4 and 2 steps. Killed while saving step 4,
        # after a pull of Lookahead; step 9, the first with the bias frozen; step 11, between two
        # pulls; and the last epoch's end, all steps being saved.
        (0, [4, 8, 3, 6]),
        (1e9, [3]),  # only epochs are saved: the first frozen one is lost
    ],
)
def test_a_killed_fast_training_ends_as_an_undisturbed_one(
    fast, project, monkeypatch, interval, kills
):
    monkeypatch.setattr(loop, "LOOK_INTERVAL", 0)
    monkeypatch.setattr(loop, "CHECKPOINT_INTERVAL", interval)
    name = f"fast-killed-{len(kills)}"
    for count in kills:
        with monkeypatch.context() as patch:
            kill_at(patch, (np, "savez"), count)
            with pytest.raises(Killed):
                loop.train(project, small_airbench(), name, OPTIONS)
    assert result_of(loop.train(project, small_airbench(), name, OPTIONS)) == result_of(fast)


def test_a_part_of_an_epoch_is_its_first_steps(fast):
    history = fast.read_history()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    metrics = fast.read_metrics()
    assert metrics["epochs"] == metrics["best_epoch"] == 4
    forward = models.flops(models.build("airbench", {"widths": [8, 8, 8]}))
    assert metrics["petaflop"] == pytest.approx(3 * forward * 140 / 1e15, abs=1e-4)
    last = small_airbench().schedule.factor(13 / 14)
    assert history[-1]["learning_rate"] == pytest.approx(0.1 * last)


def test_the_operations_are_counted_for_all_images_seen(project, monkeypatch):
    monkeypatch.setattr(models, "flops", lambda model: int(1e12))
    run = loop.train(project, small_airbench(epochs=1.5), "flops", OPTIONS)
    assert run.read_metrics()["petaflop"] == pytest.approx(3 * 60 * 1e12 / 1e15)
    recipe = dataclasses.replace(recipes.model1(), epochs=1.5, batch_size=20)  # 20, 20, 8; 20, 20
    run = loop.train(project, recipe, "flops-model1", OPTIONS)
    assert run.read_metrics()["petaflop"] == pytest.approx(3 * 88 * 1e12 / 1e15)


def watch_epochs(monkeypatch, look):
    """Return a list that gets what `look(training)` says at the end of each epoch's steps."""
    seen, end_epoch = [], loop.Training._end_epoch

    def watching(self):
        seen.append(look(self))
        end_epoch(self)

    monkeypatch.setattr(loop.Training, "_end_epoch", watching)
    return seen


def test_the_whitening_bias_stands_still_after_its_epochs_and_the_filters_always(
    project, monkeypatch
):
    def whitening(self):
        layer = self.model.get_layer("whitening")
        other = self.model.trainable_variables[1]
        return [np.array(variable) for variable in (layer.kernel, layer.bias, other)]

    epochs = watch_epochs(monkeypatch, whitening)
    recipe = small_airbench(lookahead=None, epochs=4)
    loop.train(project, recipe, "whitening", OPTIONS)
    filters, biases, others = zip(*epochs, strict=True)
    for later in filters[1:]:
        np.testing.assert_array_equal(later, filters[0])
    assert np.abs(biases[0]).max() > 0
    assert (biases[1] != biases[0]).any()
    np.testing.assert_array_equal(biases[2], biases[1])
    np.testing.assert_array_equal(biases[3], biases[1])
    assert (others[3] != others[2]).any()


def test_first_filters_that_do_not_whiten_are_trained_when_the_bias_stands_still(
    project, monkeypatch
):
    def first_layer(self):
        layer = self.model.get_layer("whitening")
        return [np.array(variable) for variable in (layer.kernel, layer.bias)]

    epochs = watch_epochs(monkeypatch, first_layer)
    options = {"widths": [8, 8, 8], "whitening": False}
    recipe = small_airbench(network_options=options, whitening_bias_epochs=0, lookahead=None)
    loop.train(project, recipe, "plain-filters", OPTIONS)
    filters, biases = zip(*epochs, strict=True)
    assert (filters[1] != filters[0]).any()
    np.testing.assert_array_equal(biases[-1], 0)


def test_the_slow_weights_are_the_result(project, monkeypatch):
    fast_and_slow = watch_epochs(
        monkeypatch,
        lambda self: (
            [np.array(variable) for variable in self.model.variables],
            [np.array(variable) for variable in self.lookahead.slow],
        ),
    )
    run = loop.train(project, small_airbench(epochs=1), "slow", OPTIONS)
    result = [np.array(variable) for variable in run.load_model().variables]
    [(fast, slow)] = fast_and_slow  # four steps: the slow weights are one behind
    assert any((value != other).any() for value, other in zip(fast, slow, strict=True))
    for value, expected in zip(result, slow, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_labels_lower_to_the_formula(project, smoothing):
    import keras

    recipe = small_airbench(
        label_smoothing=smoothing,
        batch_size=48,
        epochs=1,
        augmentation=None,
        lookahead=None,
        mixed_precision=False,
    )
    run = loop.train(project, recipe, f"smoothed-{smoothing}", OPTIONS)
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


def test_whitening_epochs_without_such_a_layer_are_refused(project):
    recipe = dataclasses.replace(RECIPE, whitening_bias_epochs=1)
    with pytest.raises(UserError, match="no layer named whitening"):
        loop.train(project, recipe, "unwhitened", OPTIONS)
    assert not (project.runs / "unwhitened").exists()


def test_an_unknown_network_option_leaves_no_run(project):
    recipe = small_airbench(network_options={"depth": 3})
    with pytest.raises(UserError, match="cannot be built with"):
        loop.train(project, recipe, "deep", OPTIONS)
    assert not (project.runs / "deep").exists()


def test_six_views_are_measured_and_kept(fast):
    metrics = fast.read_metrics()
    kept = read_probabilities(fast.probabilities_file("validation", "tta"))
    np.testing.assert_array_equal(kept["id"], np.arange(49, 61))
    right = kept["probabilities"].argmax(axis=1) == kept["id"] % 10
    assert metrics["validation_accuracy_tta"] == pytest.approx(right.mean())


def test_a_batch_that_fits_into_no_memory_is_refused_before_anything_is_written(
    project, monkeypatch
):
    import psutil

    little = types.SimpleNamespace(available=1_000_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(UserError, match=r"needs about .* GiB for a batch of 10 images") as caught:
        loop.train(project, small_airbench(), "large", OPTIONS)
    assert "batch_size" in str(caught.value)
    assert not (project.runs / "large").exists()


@pytest.mark.parametrize("place", ["__init__", "run_epochs"])
def test_memory_that_runs_out_is_told_in_a_sentence(project, monkeypatch, place):
    import tensorflow as tf

    def run_out(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(loop.Training, place, run_out)
    with pytest.raises(UserError, match="10 images does not fit into the memory") as caught:
        loop.train(project, small_airbench(), "exhausted", OPTIONS)
    assert "batch_size" in str(caught.value)


def test_a_recipe_whose_precision_was_changed_is_another(project):
    recipe = small_airbench(epochs=1)
    loop.train(project, recipe, "precision", OPTIONS)
    changed = dataclasses.replace(recipe, mixed_precision=not recipe.mixed_precision)
    with pytest.raises(UserError, match="mixed_precision: "):
        loop.train(project, changed, "precision", OPTIONS)


# The time budget. An evaluation takes 0.1 s an image on these machines, a step 2 s.

BUDGET = 60.0


class Clock:
    """Stands for the `time` module: each look at the clock takes a moment."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 0.001
        return self.now


@pytest.fixture
def fixed_speed(monkeypatch):
    """Let steps and evaluations be done, but take fixed times."""
    time_steps = loop.Training._time_steps
    time_evaluation = loop.Training._time_evaluation

    def steps(self, enough):
        time_steps(self, 0.0)
        return 2.0

    def evaluation(self):
        time_evaluation(self)
        return 0.1

    monkeypatch.setattr(loop, "time", Clock())
    monkeypatch.setattr(loop.Training, "_time_steps", steps)
    monkeypatch.setattr(loop.Training, "_time_evaluation", evaluation)


def never(*args):
    raise AssertionError("timed anew")


def test_a_time_budget_chooses_the_epochs_and_leaves_no_other_trace(
    project, monkeypatch, fixed_speed, capsys
):
    # The result is measured on 48 training images and 7 times on 12 validation images: 13.2 s of
    # the 60. A step costs 2 s and its share of an epoch's validation, 12 * 0.1 / 4.
    steps = int(0.95 * (BUDGET - 13.2) / 2.3)
    assert steps == 19
    recipe = small_airbench(epochs=50)
    options = RunOptions(seed=3, time_budget=BUDGET)
    budgeted = loop.train(project, recipe, "budgeted", options)
    assert budgeted.read_recipe() == (dataclasses.replace(recipe, epochs=steps / 4), options)
    assert "fit into the time budget" in capsys.readouterr().out

    plain = loop.train(project, dataclasses.replace(recipe, epochs=steps / 4), "plain", OPTIONS)
    assert result_of(plain) == result_of(budgeted)

    with monkeypatch.context() as patch:
        kill_at(patch, (np, "savez"), 2)
        with pytest.raises(Killed):
            loop.train(project, recipe, "budgeted-killed", options)
    monkeypatch.setattr(loop.Training, "_time_steps", never)
    killed = loop.train(project, recipe, "budgeted-killed", options)
    assert result_of(killed) == result_of(budgeted)
    loop.train(project, recipe, "budgeted", options)
    assert "is finished" in capsys.readouterr().out


def no_epochs(self, stop_signal):
    self.history = [{}]
    return iter(())


def test_a_time_budget_never_lengthens_a_recipe(project, monkeypatch, fixed_speed):
    monkeypatch.setattr(loop.Training, "run_epochs", no_epochs)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    options = RunOptions(time_budget=100 * BUDGET)
    run = loop.train(project, small_airbench(), "ample", options)
    assert run.read_recipe()[0].epochs == small_airbench().epochs


def test_a_time_budget_for_no_step_is_refused_and_leaves_no_run(project, fixed_speed):
    with pytest.raises(UserError, match="time budget does not suffice for a step of small"):
        loop.train(project, small_airbench(), "hasty", RunOptions(time_budget=15.0))
    assert not (project.runs / "hasty").exists()


def test_steps_and_evaluations_are_really_timed(project, monkeypatch):
    monkeypatch.setattr(loop, "time", clock := Clock())
    step = loop.Training._compile_train_step

    def slow_step(self):
        compiled = step(self)

        def timed(batch, totals):
            clock.now += 5
            return compiled(batch, totals)

        return timed

    monkeypatch.setattr(loop.Training, "_compile_train_step", slow_step)
    monkeypatch.setattr(loop.Training, "run_epochs", no_epochs)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    options = RunOptions(time_budget=100.0)
    run = loop.train(project, small_airbench(epochs=50), "timed", options)
    # One step to compile and three to time leave 80 s: 15 steps of 5 s in 95 % of it.
    assert run.read_recipe()[0].epochs == 15 / 4


def count_timed_steps(project, monkeypatch, seconds, **changes):
    """Return how many steps are timed for an ample budget where a step takes `seconds`."""
    monkeypatch.setattr(loop, "time", clock := Clock())
    monkeypatch.setattr(loop.Training, "run_epochs", no_epochs)
    monkeypatch.setattr(loop.Training, "finish", lambda self: None)
    done = []

    def step(batch, totals):
        clock.now += seconds
        done.append(clock.now)
        assert len(done) < 1000, "timed without end"
        return totals

    monkeypatch.setattr(loop.Training, "_compile_train_step", lambda self: step)
    options = RunOptions(time_budget=1000 * 3600.0)
    loop.train(project, small_airbench(**changes), f"ample-{seconds}", options)
    return len(done)


def test_the_timing_ends_early_where_the_whole_training_is_short(project, monkeypatch, capsys):
    assert count_timed_steps(project, monkeypatch, 0.01) == 1 + loop.TIMED_STEPS  # of 14
    assert "Timing the first steps of small" in capsys.readouterr().out


def test_the_timing_of_a_long_training_takes_half_a_minute(project, monkeypatch):
    steps = count_timed_steps(project, monkeypatch, 1.0, epochs=1000)
    assert steps == pytest.approx(1 + loop.LONGEST_TIMED, abs=1)


def test_a_training_has_at_least_one_step(project):
    run = loop.train(project, small_airbench(epochs=1e-9), "one-step", OPTIONS)
    assert run.read_metrics()["epochs"] == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("limit", 0),
        ("limit", 2.5),
        ("time_budget", float("nan")),
        ("time_budget", float("inf")),
        ("time_budget", -1.0),
        ("validation", "fold0of3"),
        ("validation", "fold3of2"),
        ("validation", "some"),
    ],
)
def test_an_impossible_option_is_refused_by_its_name(key, value):
    with pytest.raises(recipes.SettingError) as caught:
        RunOptions(**{key: value})
    assert caught.value.key == key


@pytest.mark.parametrize("validation", ["stratified", "fold21of21"])
def test_a_split_without_images_leaves_no_run(project, validation):
    with pytest.raises(SplitError) as caught:
        loop.train(project, RECIPE, "split", RunOptions(limit=20, validation=validation))
    assert caught.value.images == 20
    assert not (project.runs / "split").exists()


def test_a_folder_that_is_no_run_is_refused(project):
    folder = project.runs / "mine"
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("mine")
    with pytest.raises(ForeignPathError) as caught:
        loop.train(project, RECIPE, "mine", OPTIONS)
    assert caught.value.path == folder
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == ["history.csv"]


def test_the_budget_of_a_run_that_began_without_is_refused(fast, project):
    with pytest.raises(UserError, match="time_budget: None, now 60"):
        loop.train(project, small_airbench(), "fast", RunOptions(seed=3, time_budget=60.0))


def test_a_copied_recipe_makes_no_folder_a_runs(project, tmp_path):
    run = loop.train(project, dataclasses.replace(RECIPE, epochs=1), "first", OPTIONS)
    folder = project.runs / "second"
    folder.mkdir()
    shutil.copy(run.description_file, folder)
    (tmp_path / "mine.txt").write_text("mine")
    (folder / "summary.txt").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(ForeignPathError) as caught:
        loop.train(project, run.read_recipe()[0], "second", OPTIONS)
    assert caught.value.path == folder / "summary.txt"
    assert (tmp_path / "mine.txt").read_text() == "mine"
