"""What TensorBoard reads: every epoch once, killed and resumed or not."""

import dataclasses
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.training import loop, tensorboard
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.tensorboard import write_events
from tests.helpers.small_data import project_in, write_training_data

RECIPE = dataclasses.replace(recipes.model1(), epochs=3)
ROW = {"epoch": 1, "loss": 2.0, "val_loss": None, "seconds": 5.0}


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("events"))
    write_training_data(project, 40)
    return project


def scalars_in(folder):
    """Return (tag, step, value) and the time of all that stands in the event files, in order."""
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


def test_the_option_writes_every_scalar_of_every_epoch(project):
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    command = [*folders, "train", "model1", "--epochs", "2", "--tensorboard"]
    result = CliRunner().invoke(cli.cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    run = Run(project.runs / "model1")
    tags = {tag for tag, _, _ in scalars_in(run.events_folder)[0]}
    names = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}
    assert tags == names
    assert_events_are_the_history(run)


def test_without_the_option_there_is_nothing(project):
    run = loop.train(project, dataclasses.replace(RECIPE, epochs=1), "without", RunOptions())
    assert not run.events_folder.exists()


@pytest.mark.parametrize(
    ("module", "name", "count"),
    [
        (loop, "save_checkpoint", 2),  # before the second epoch is kept
        (loop, "write_events", 2),  # the second epoch is kept, its events not yet written
        (tensorboard, "write_epoch", 3),
        (loop, "draw_curves", 1),  # all events are written
    ],
)
def test_a_killed_training_neither_doubles_nor_loses_epochs(
    project, monkeypatch, module, name, count
):
    original, calls = getattr(module, name), []

    def killing(*arguments):
        calls.append(1)
        if len(calls) == count:
            raise Killed
        return original(*arguments)

    run_name = f"killed-{name}"
    with monkeypatch.context() as patch:
        patch.setattr(module, name, killing)
        with pytest.raises(Killed):
            loop.train(project, RECIPE, run_name, RunOptions(), tensorboard=True)
    run = loop.train(project, RECIPE, run_name, RunOptions(), tensorboard=True)
    assert_events_are_the_history(run)


def test_it_can_be_asked_for_later_and_of_a_finished_run(project, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "draw_curves", lambda *arguments: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            loop.train(project, RECIPE, "later", RunOptions())
    run = loop.train(project, RECIPE, "later", RunOptions(), tensorboard=True)
    assert_events_are_the_history(run)
    for path in run.events_folder.glob("*tfevents*"):
        path.unlink()
    loop.train(project, RECIPE, "later", RunOptions(), tensorboard=True)
    assert_events_are_the_history(run)


def test_a_training_begun_anew_leaves_nothing_of_the_one_before(tmp_path):
    for losses in ([3.0, 2.0, 1.0], [9.0], [9.0, 8.0]):
        history = [{**ROW, "epoch": i, "loss": loss} for i, loss in enumerate(losses, start=1)]
        for epochs in range(1, len(history) + 1):
            write_events(tmp_path / "events", history[:epochs], 0.0)
        scalars, _ = scalars_in(tmp_path / "events")
        assert [value for tag, _, value in scalars if tag == "loss"] == losses


def test_no_epoch_is_written_twice(tmp_path):
    history = [ROW, {**ROW, "epoch": 2}]
    write_events(tmp_path / "events", history, 0.0)
    before = {path: path.stat().st_ino for path in (tmp_path / "events").glob("*tfevents*")}
    write_events(tmp_path / "events", [*history, {**ROW, "epoch": 3}], 0.0)
    assert len(before) == 2
    assert all(path.stat().st_ino == inode for path, inode in before.items())


def test_foreign_files_in_the_folder_stay(tmp_path):
    """Whatever their names: "epoch" is a file of its own, and the second epoch's name is taken."""
    names = ("mine.txt", "epoch", "events.out.tfevents.000002")
    for name in names:
        (tmp_path / name).write_text("mine")
    for history in ([ROW], [ROW, {**ROW, "epoch": 2}], [ROW]):
        write_events(tmp_path, history, 0.0)
    assert [(tmp_path / name).read_text() for name in names] == ["mine"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    import tensorflow as tf

    writer = tf.io.TFRecordWriter
    monkeypatch.setattr(tf.io, "TFRecordWriter", lambda path: writer("/dev/full"))
    with pytest.raises(UserError, match=r"tfevents\.000001\.kaggle-cifar could not be written"):
        write_events(tmp_path, [ROW], 0.0)
    assert not list(tmp_path.glob("*tfevents*"))
