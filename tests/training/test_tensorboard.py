"""Event files for TensorBoard: every epoch once, even if the run was killed."""

import dataclasses
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli, recipes
from kaggle_cifar.training import checkpoint, loop, result, tensorboard
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.tensorboard import EventFileError, write_events
from kaggle_cifar.training.train import train
from tests.helpers.simulated_kills import Killed, kill_at

pytestmark = pytest.mark.slow

RECIPE = dataclasses.replace(recipes.model1(), epochs=3)
ROW = {"epoch": 1, "loss": 2.0, "val_loss": None, "seconds": 5.0}


@pytest.fixture(scope="module")
def project(project, tmp_path_factory):
    return dataclasses.replace(project, runs=tmp_path_factory.mktemp("events"))


def scalars_in(folder):
    """Return (tag, step, value) of all events in order, and their times."""
    import tensorflow as tf

    scalars, times = [], []
    for path in sorted(folder.glob("*tfevents*")):
        first, *rest = tf.compat.v1.train.summary_iterator(str(path))
        assert first.file_version == "brain.Event:2"
        for event in rest:
            times.append(event.wall_time)
            scalars += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return scalars, times


def assert_events_are_the_history(run):
    scalars, times = scalars_in(run.events_folder)
    history = run.read_history()
    expected = [
        (key, row["epoch"], np.float32(value))
        for row in history
        for key, value in row.items()
        if key != "epoch" and value is not None
    ]
    assert scalars == expected
    seconds = np.cumsum([row["seconds"] for row in history])
    np.testing.assert_allclose(np.array(times) - run.started, seconds, atol=1e-3)


def test_option_writes_all_scalars_of_all_epochs(project):
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    command = [*folders, "train", "model1", "--epochs", "1", "--tensorboard"]
    result = CliRunner().invoke(cli.cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    run = Run(project.runs / "model1")
    tags = {tag for tag, _, _ in scalars_in(run.events_folder)[0]}
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}
    assert tags == names
    assert_events_are_the_history(run)


def test_nothing_is_written_without_the_option(project):
    run = train(project, dataclasses.replace(RECIPE, epochs=1), "without", RunOptions())
    assert not run.events_folder.exists()


def test_killed_run_has_each_epoch_once(project, monkeypatch):
    for owner, name, count in [
        (checkpoint, "save_checkpoint", 2),  # before the second epoch is saved
        (loop, "write_events", 1),  # the second epoch is saved, its events are not
        (tensorboard, "write_epoch", 2),
        (result, "draw_curves", 1),  # all events are written
    ]:
        with monkeypatch.context() as patch:
            kill_at(patch, owner, name, count)
            with pytest.raises(Killed):
                train(project, RECIPE, "killed", RunOptions(), tensorboard=True)
    run = train(project, RECIPE, "killed", RunOptions(), tensorboard=True)
    assert_events_are_the_history(run)


def test_events_of_a_finished_run_are_written_later(project):
    run = train(project, RECIPE, "later", RunOptions())
    train(project, RECIPE, "later", RunOptions(), tensorboard=True)
    assert_events_are_the_history(run)


def test_restarted_training_replaces_the_events(tmp_path):
    for losses in ([3.0, 2.0, 1.0], [9.0], [9.0, 8.0]):
        history = [{**ROW, "epoch": i, "loss": loss} for i, loss in enumerate(losses, start=1)]
        for epochs in range(1, len(history) + 1):
            write_events(tmp_path / "events", history[:epochs], 0.0)
        scalars, _ = scalars_in(tmp_path / "events")
        assert [value for tag, _, value in scalars if tag == "loss"] == losses


def test_written_epochs_are_not_written_again(tmp_path):
    history = [ROW, {**ROW, "epoch": 2}]
    write_events(tmp_path / "events", history, 0.0)
    before = {path: path.stat().st_ino for path in (tmp_path / "events").glob("*tfevents*")}
    write_events(tmp_path / "events", [*history, {**ROW, "epoch": 3}], 0.0)
    assert len(before) == 2
    assert all(path.stat().st_ino == inode for path, inode in before.items())


def test_foreign_files_in_the_folder_are_kept(tmp_path):
    names = ("mine.txt", "epoch", "events.out.tfevents.000002")
    for name in names:
        (tmp_path / name).write_text("mine")
    for history in ([ROW], [ROW, {**ROW, "epoch": 2}], [ROW]):
        write_events(tmp_path, history, 0.0)
    assert [(tmp_path / name).read_text() for name in names] == ["mine"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /dev/full")
def test_full_disk_is_reported(tmp_path, monkeypatch):
    import tensorflow as tf

    writer = tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, "TFRecordWriter", lambda path: writer("/dev/full"))
    with pytest.raises(EventFileError) as caught:
        write_events(tmp_path, [ROW], 0.0)
    assert caught.value.path.name == "events.out.tfevents.000001.kaggle-cifar"
    assert not list(tmp_path.glob("*tfevents*"))
