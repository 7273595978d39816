"""Whole trainings: the run folder, killed and resumed runs, signals, refusals."""

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kaggle_cifar import cli, models, recipes
from kaggle_cifar.data.dataset import SplitError
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, lock
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.ownership import foreign_names
from kaggle_cifar.recipes.validation import InvalidNameError
from kaggle_cifar.training import checkpoint, loop, result, run_settings
from kaggle_cifar.training import train as train_module
from kaggle_cifar.training.loop import DivergedError
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import end_early, train, train_by_epochs
from tests.helpers.results import result_of
from tests.helpers.simulated_kills import Killed, kill_at
from tests.helpers.small_data import small_airbench
from tests.training.conftest import IMAGES, OPTIONS

pytestmark = pytest.mark.slow

# Four short epochs use every part of the state: the plateau's counter, the decay, early stopping
# with its best weights, the seeds of dropout, a short last batch (20, 20 and 8 images).
RECIPE = dataclasses.replace(
    recipes.model3_tuned(),
    network_options={"widths": [8, 8], "dropouts": [0.2, 0.3]},
    batch_size=20,
    epochs=4,
    plateau=recipes.ReduceLROnPlateau(factor=0.5, patience=1),
    exponential_decay=recipes.ExponentialDecay(start=2, rate=0.1),
)


@pytest.fixture(scope="module")
def stopped_early(project):
    return train(project, RECIPE, "undisturbed", OPTIONS)


# The run folder


def test_run_folder_has_all_files(stopped_early):
    assert foreign_names(stopped_early.folder) == [
        "environment.json",
        "figures",
        "history.csv",
        "metrics.json",
        "model.weights.h5",
        "run.json",
        "summary.txt",
        "validation_probabilities-tta.npy",
        "validation_probabilities.npy",
    ]
    assert stopped_early.read_recipe() == (RECIPE, OPTIONS)
    parameters = stopped_early.read_metrics()["parameters"]
    assert f"{parameters:,}" in (stopped_early.folder / "summary.txt").read_text()
    with Image.open(stopped_early.folder / "figures" / "curves.png") as picture:
        assert picture.width > 800
    environment = json.loads(stopped_early.environment_file.read_text())
    assert environment["packages"]["tensorflow"] and environment["machine"]["cores"]


def test_metrics_are_those_of_the_best_epoch(stopped_early):
    metrics = stopped_early.read_metrics()
    best = min(stopped_early.read_history(), key=lambda row: row["val_loss"])
    assert metrics["best_epoch"] == best["epoch"]
    assert metrics["validation_accuracy"] == pytest.approx(best["val_accuracy"])
    assert metrics["validation_loss"] == pytest.approx(best["val_loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("views", "key"), [("plain", "validation_accuracy"), ("tta", "validation_accuracy_tta")]
)
def test_probabilities_are_those_of_the_metrics(finished, views, key):
    rows = read_probabilities(finished.probabilities_file("validation", views))
    np.testing.assert_array_equal(rows["id"], np.arange(49, 61))  # the last 20 %
    correct = rows["probabilities"].argmax(axis=1) == rows["id"] % 10
    assert finished.read_metrics()[key] == pytest.approx(correct.mean())


def test_epochs_may_end_with_a_part_of_one(finished):
    history, metrics = finished.read_history(), finished.read_metrics()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert metrics["epochs"] == metrics["best_epoch"] == 4
    forward = models.flops(models.build("airbench", {"widths": [8, 8, 8]}))
    assert metrics["petaflop"] == pytest.approx(3 * forward * 140 / 1e15, abs=1e-4)
    last = small_airbench().schedule.factor(13 / 14)
    assert history[-1]["learning_rate"] == pytest.approx(0.1 * last)


def test_petaflop_counts_all_images_seen(project, monkeypatch):
    monkeypatch.setattr(models, "flops", lambda model, size: int(1e12))
    recipe = dataclasses.replace(recipes.model1(), epochs=1.5, batch_size=20)  # 20, 20, 8; 20, 20
    run = train(project, recipe, "flops", OPTIONS)
    metrics, history = run.read_metrics(), run.read_history()
    assert metrics["petaflop"] == pytest.approx(3 * 88 * 1e12 / 1e15)
    # A recipe without early stopping keeps the last epoch.
    assert metrics["best_epoch"] == 2
    assert metrics["validation_loss"] == pytest.approx(history[-1]["val_loss"])


def test_without_validation_all_images_are_trained_on(project):
    recipe = small_airbench(epochs=1)
    metrics = train(project, recipe, "all", RunOptions(validation="none")).read_metrics()
    assert (metrics["train_images"], metrics["validation_images"]) == (IMAGES, 0)
    assert "validation_accuracy" not in metrics


def test_training_has_at_least_one_step(project):
    run = train(project, small_airbench(epochs=1e-9), "one-step", OPTIONS)
    assert run.read_metrics()["epochs"] == 1


def test_finished_run_is_left_alone(finished, project, capsys):
    before = finished.metrics_file.stat().st_mtime_ns
    train(project, small_airbench(), "finished", OPTIONS)
    assert "is finished" in capsys.readouterr().out
    assert finished.metrics_file.stat().st_mtime_ns == before


def test_epochs_are_yielded_and_can_end_early(project):
    epochs = train_by_epochs(project, small_airbench(), "early", OPTIONS)
    assert [next(epochs)["epoch"], next(epochs)["epoch"]] == [1, 2]
    epochs.close()
    run = Run(project.runs / "early")
    assert not run.finished and run.checkpoint_file.exists()
    end_early(project, run)
    assert run.read_metrics()["epochs"] == 2
    assert not run.checkpoint_file.exists()


# Killed and resumed


def test_killed_run_ends_as_an_undisturbed_one(stopped_early, project, monkeypatch):
    monkeypatch.setattr(loop, "LOOK_INTERVAL", 0)
    for interval, owner, name, count in [
        (0, checkpoint, "save_checkpoint", 1),  # in the first step, with nothing saved
        (0, np, "savez", 2),  # while saving; each step is saved
        (0, np, "savez", 5),
        (1e9, np, "savez", 1),  # only epochs are saved
        (1e9, loop, "write_history", 2),  # the state is saved, the row is not
        (1e9, result, "draw_curves", 1),  # half of the result is written
    ]:
        monkeypatch.setattr(checkpoint, "INTERVAL", interval)
        with monkeypatch.context() as patch:
            kill_at(patch, owner, name, count)
            with pytest.raises(Killed):
                train(project, RECIPE, "killed", OPTIONS)
        assert not Run(project.runs / "killed").finished
    assert result_of(train(project, RECIPE, "killed", OPTIONS)) == result_of(stopped_early)


def test_killed_fast_run_ends_as_an_undisturbed_one(finished, train_through_kills):
    # Each step is saved, and each epoch: 4, 4, 4 and 2 steps. Killed while saving step 4, after a
    # pull of Lookahead; step 9, the first with the bias frozen; step 11, between two pulls; the
    # end of the last epoch.
    run = train_through_kills(small_airbench(), "fast-killed", (4, 8, 3, 6))
    assert result_of(run) == result_of(finished)


def test_settings_are_written_before_anything_else(project, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, run_settings, "describe_environment", 1)
        with pytest.raises(Killed):
            train(project, small_airbench(epochs=1), "marked", OPTIONS)
    folder = project.runs / "marked"
    assert foreign_names(folder) == ["run.json"]
    train(project, small_airbench(epochs=1), "marked", OPTIONS)
    assert (folder / "environment.json").exists()


@pytest.mark.kill
def test_sigkill_changes_nothing(project):
    recipe = dataclasses.replace(
        recipes.model3(), epochs=30, early_stopping=recipes.EarlyStopping(30), name="thirty"
    )
    whole = train(project, recipe, "whole", OPTIONS)
    folders = ("--data-dir", str(project.data), "--runs-dir", str(project.runs))
    arguments = (str(whole.description_file), "--seed", "3", "--name", "sigkill")
    command = [sys.executable, "-m", "kaggle_cifar", *folders, "train", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    moments = random.Random(0)
    for _ in range(2):
        with subprocess.Popen(command, env=environment, **pipes) as process:
            while not process.stdout.readline().startswith("Epoch"):
                pass  # until an epoch is done
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moments.uniform(0, 0.5))
            process.kill()
        assert not Run(project.runs / "sigkill").finished
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Resuming sigkill at epoch" in done.stdout
    assert done.stderr == ""  # nothing from TensorFlow
    assert result_of(Run(project.runs / "sigkill")) == result_of(whole)


# Signals


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_saves_the_state_and_stops(project, monkeypatch, number, status):
    steps = []

    def signalling(self, batch, totals):
        steps.append(batch)
        if len(steps) == 2:
            signal.raise_signal(number)
        return run_step(self, batch, totals)

    run_step = loop.Training.run_step
    monkeypatch.setattr(loop.Training, "run_step", signalling)
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    command = [*folders, "train", "model1", "--set", "batch_size=10", "--name", f"stopped-{status}"]
    stopped = CliRunner().invoke(cli.cli, command)
    assert stopped.exit_code == status, stopped.output
    values, _ = checkpoint.load_checkpoint(Run(project.runs / f"stopped-{status}").checkpoint_file)
    assert (values["epoch"], values["step"]) == (0, 2)


# Refused or failed


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "", ".hidden", "/root"])
def test_name_of_another_place_is_refused(project, name):
    with pytest.raises(InvalidNameError) as caught:
        train(project, RECIPE, name, OPTIONS)
    assert caught.value.name == name


def test_two_trainings_of_one_run_are_refused(project):
    with lock(project.runs / "twice", "training"), pytest.raises(BusyError):
        train(project, RECIPE, "twice", OPTIONS)


def test_loss_that_is_not_a_number_stops_the_run(project):
    diverging = small_airbench(learning_rate=1e30)
    with pytest.raises(DivergedError) as caught:
        train(project, diverging, "diverging", OPTIONS)
    assert caught.value.epoch == 1
    assert not Run(project.runs / "diverging").finished


@pytest.mark.parametrize("validation", ["stratified", "fold21of21"])
def test_split_without_images_leaves_no_run(project, validation):
    with pytest.raises(SplitError) as caught:
        train(project, RECIPE, "split", RunOptions(limit=20, validation=validation))
    assert caught.value.images == 20
    assert not (project.runs / "split").exists()


def test_unknown_network_option_leaves_no_run(project):
    recipe = small_airbench(network_options={"depth": 3})
    with pytest.raises(UserError, match="depth"):
        train(project, recipe, "deep", OPTIONS)
    assert not (project.runs / "deep").exists()


# Precision


def test_mixed_precision_trains_and_resumes(project, train_and_kill):
    import keras

    recipe, options = small_airbench(epochs=2), RunOptions(seed=3, mixed_precision=True)
    whole = train(project, recipe, "mixed", options)
    train_and_kill(recipe, "mixed-killed", mixed_precision=True)
    assert result_of(train(project, recipe, "mixed-killed", options)) == result_of(whole)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("before", "after"), [("mixed_float16", "float32"), ("mixed_bfloat16", "mixed_float16")]
)
def test_run_resumes_in_another_precision(project, monkeypatch, train_and_kill, before, after):
    """As on a machine with another GPU."""
    recipe = small_airbench(epochs=2)
    monkeypatch.setattr(train_module, "dtype_policy", lambda _: before)
    train_and_kill(recipe, f"from-{before}")
    monkeypatch.setattr(train_module, "dtype_policy", lambda _: after)
    assert train(project, recipe, f"from-{before}", OPTIONS).read_metrics()["epochs"] == 2
