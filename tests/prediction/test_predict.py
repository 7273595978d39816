"""Probabilities by id: whole, in order, resumed after a kill, never stale."""

import contextlib
import dataclasses
import errno
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import files, recipes
from kaggle_cifar.competition import SAMPLE_SUBMISSION
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, lock, lock_file, write_text
from kaggle_cifar.models.inference import NotProbabilitiesError, read_probabilities, write_array
from kaggle_cifar.ownership import remove_reserved, reserved_path
from kaggle_cifar.prediction import predict
from kaggle_cifar.submission.validate import origin_of, write_submission
from kaggle_cifar.training import loop
from kaggle_cifar.training.run import Run, RunOptions, chosen_runs, find_run, newest_finished_run
from tests.helpers.kills import run_and_kill
from tests.helpers.small_data import (
    project_in,
    write_manifest,
    write_test_data,
    write_training_data,
)

# Numeric and alphabetic order differ, and ids are neither dense nor from 1.
IDS = [*range(2, 120, 3), 1000, 21, 300_000, 99_999]


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two finished runs and the pixels of the test images by id."""
    project = project_in(tmp_path_factory.mktemp("prediction"))
    write_training_data(project, 40)
    pixels = write_test_data(project, IDS)
    recipe = dataclasses.replace(recipes.model3_tuned(), epochs=1)
    runs = [loop.train(project, recipe, f"run{i}", RunOptions(seed=i)) for i in (0, 1)]
    return project, runs, dict(zip(IDS, pixels, strict=True))


@pytest.fixture
def copied(project, tmp_path):
    """The same in folders that a test may change."""
    project, runs, pixels = project
    folder = tmp_path / "copy"
    shutil.copytree(project.data.parent, folder)
    copy = project_in(folder)
    return copy, [Run(copy.runs / run.name) for run in runs], pixels


def expected(run, pixels):
    return run.load_model().predict(np.stack([pixels[i] for i in sorted(pixels)]), verbose=0)


def test_every_id_has_the_probabilities_of_its_own_image(copied):
    project, runs, pixels = copied
    ids, probabilities = predict.predict(project, runs[:1])
    np.testing.assert_array_equal(ids, sorted(IDS))
    np.testing.assert_allclose(probabilities, expected(runs[0], pixels), atol=1e-5)
    kept = read_probabilities(runs[0].folder / "test_probabilities.npy")
    np.testing.assert_array_equal(kept["id"], ids)
    np.testing.assert_allclose(kept["probabilities"], probabilities, atol=1e-7)


def test_several_runs_are_averaged(copied):
    project, runs, pixels = copied
    _, probabilities = predict.predict(project, runs)
    mean = (expected(runs[0], pixels) + expected(runs[1], pixels)) / 2
    np.testing.assert_allclose(probabilities, mean, atol=1e-5)


def no_network(*args):
    raise AssertionError("predicted anew")


def test_probabilities_are_computed_once(copied, monkeypatch):
    project, runs, _ = copied
    _, first = predict.predict(project, runs)
    monkeypatch.setattr(predict, "compile_forward", no_network)
    _, second = predict.predict(project, runs)
    np.testing.assert_array_equal(first, second)


def test_predictions_made_elsewhere_need_no_images_here(copied):
    project, runs, _ = copied
    _, first = predict.predict(project, runs[:1])
    shutil.rmtree(project.images("test"))
    project.manifest("test").unlink(missing_ok=True)
    _, second = predict.predict(project, runs[:1])
    np.testing.assert_array_equal(first, second)
    result = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(result)
    np.save(result, rows[1:])
    with pytest.raises(UserError, match="is missing: the test images are not extracted"):
        predict.predict(project, runs[:1])
    assert len(read_probabilities(result)) == len(rows) - 1  # nothing was thrown away


def test_changed_images_are_predicted_anew(copied):
    project, runs, _ = copied
    predict.predict(project, runs[:1])
    changed = write_test_data(project, IDS, seed=9)
    _, probabilities = predict.predict(project, runs[:1])
    new = dict(zip(IDS, changed, strict=True))
    np.testing.assert_allclose(probabilities, expected(runs[0], new), atol=1e-5)


def test_changed_weights_are_predicted_anew(copied):
    project, runs, pixels = copied
    predict.predict(project, runs[:1])
    shutil.copy(runs[1].weights_file, runs[0].weights_file)
    _, probabilities = predict.predict(project, runs[:1])
    np.testing.assert_allclose(probabilities, expected(runs[1], pixels), atol=1e-5)


@pytest.mark.parametrize("kills", [[1], [3, 2], [5, 1, 2]])
def test_a_killed_prediction_ends_with_the_same_bytes(copied, monkeypatch, kills):
    project, runs, _ = copied
    monkeypatch.setattr(predict, "BATCH_SIZE", 4)
    monkeypatch.setattr(predict, "PART_SIZE", 8)
    predict.predict(project, runs[:1])
    result = runs[0].folder / "test_probabilities.npy"
    whole = result.read_bytes()
    result.unlink()
    save = np.save
    for kill in kills:
        calls = []

        def killing(file, array, kill=kill, calls=calls):
            calls.append(1)
            if len(calls) == kill:
                raise Killed
            save(file, array)

        with monkeypatch.context() as patch:
            patch.setattr(np, "save", killing)
            with pytest.raises(Killed):
                predict.predict(project, runs[:1])
        assert not result.exists()
    done = len(list(reserved_path(result, "parts").glob("*.npy")))
    assert done == sum(kills) - len(kills)  # what was finished is not computed again
    predict.predict(project, runs[:1])
    assert result.read_bytes() == whole
    assert not reserved_path(result, "parts").exists()


def test_the_number_of_images_and_of_a_batch_do_not_matter(copied, monkeypatch):
    project, runs, _ = copied
    _, whole = predict.predict(project, runs[:1])
    for batch_size, part_size in (
        (1, 1),
        (len(IDS) - 1, len(IDS) - 1),
        (len(IDS), len(IDS)),
        (7, 14),
    ):
        (runs[0].folder / "test_probabilities.npy").unlink()
        monkeypatch.setattr(predict, "BATCH_SIZE", batch_size)
        monkeypatch.setattr(predict, "PART_SIZE", part_size)
        ids, probabilities = predict.predict(project, runs[:1])
        np.testing.assert_array_equal(ids, sorted(IDS))
        np.testing.assert_allclose(probabilities, whole, atol=1e-5)


@pytest.fixture(scope="module")
def unprepared(project, tmp_path_factory):
    """A copy with a manifest, whose predictions and cache each example deletes."""
    project, runs, pixels = project
    folder = tmp_path_factory.mktemp("unprepared") / "copy"
    shutil.copytree(project.data.parent, folder)
    copy = project_in(folder)
    write_manifest(copy, "test")
    return copy, Run(copy.runs / runs[0].name), pixels


class FakeNetwork:
    """Gives probabilities that tell the image, counts images, and may be killed at a batch."""

    def __init__(self, kill_at=None):
        self.kill_at, self.batches, self.images = kill_at, 0, 0

    def __call__(self, pixels):
        self.batches += 1
        if self.batches == self.kill_at:
            raise Killed
        self.images += len(pixels)
        return told_by(pixels)


def told_by(pixels):
    """Return float32 (n, 10) of sum 1 that tell which images these are."""
    values = pixels[:, :10, 0, 0] + np.float32(1)
    return values / values.sum(axis=1, keepdims=True)


@settings(max_examples=40)
@given(
    count=st.sampled_from([1, 2, 3, 5, 7, 11, 13, 17, 31, 41, 43, 44]),
    batch_size=st.sampled_from([1, 2, 3, 6, 7, 10, 11, 12, 13, 43, 44, 45, 500]),
    batches_a_part=st.integers(1, 4),
    kill_at=st.none() | st.integers(1, 12),
    seed=st.integers(0, 99),
    keep_cache=st.booleans(),
)
def test_every_id_comes_once_and_in_order_for_any_size(
    unprepared, count, batch_size, batches_a_part, kill_at, seed, keep_cache
):
    project, run, pixels = unprepared
    if not keep_cache:
        shutil.rmtree(project.cache, ignore_errors=True)
    result = run.probabilities_file("test", "plain")
    result.unlink(missing_ok=True)
    remove_reserved(reserved_path(result, "parts"))
    chosen = np.random.default_rng(seed).permutation(IDS)[:count].tolist()
    write_text(
        project.raw / SAMPLE_SUBMISSION, "id,label\n" + "".join(f"{i},cat\n" for i in chosen)
    )
    networks = [FakeNetwork(kill_at), FakeNetwork()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "BATCH_SIZE", batch_size)
        patch.setattr(predict, "PART_SIZE", batch_size * batches_a_part)
        patch.setattr(Run, "load_model", lambda _: None)
        patch.setattr(predict, "start_tensorflow", lambda: None)
        for network in networks:
            patch.setattr(predict, "compile_forward", lambda *_, network=network: network)
            with contextlib.suppress(Killed):
                ids, probabilities = predict.predict(project, [run])
    assert ids.tolist() == sorted(chosen)
    expected = told_by(np.stack([pixels[i] for i in ids]))
    np.testing.assert_array_equal(probabilities, expected)
    assert (
        count <= sum(network.images for network in networks) < count + batch_size * batches_a_part
    )
    if count == len(IDS):
        assert len(list(project.cache.glob("test-*.npy"))) == 1


SMALL_PARTS = (
    "kaggle_cifar.prediction.predict:BATCH_SIZE=4",
    "kaggle_cifar.prediction.predict:PART_SIZE=8",
)
REPLACED = ("a part", "the cache", "the probabilities", "the CSV's record", "the CSV")


def results(project, run):
    """Return all that predicting and writing the CSV made, by name.

    A cache's own name tells the times of its files, which differ in a copy.
    """
    folders = (run.folder, project.cache, project.submissions)
    files = [
        path for folder in folders for path in folder.glob("*") if path.name != ".kaggle-cifar.lock"
    ]
    return {
        re.sub("^test-[0-9a-f]{16}", "cache", path.name): path.read_bytes()
        for path in files
        if path.is_file()
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("call", [3, 7, 10, 11, 12], ids=REPLACED)
def test_a_kill_is_made_good_by_the_next_run(copied, monkeypatch, call):
    project, runs, _ = copied
    write_manifest(project, "test")
    undisturbed = project_in(project.data.parent.parent / "undisturbed")
    shutil.copytree(project.data.parent, undisturbed.data.parent)
    monkeypatch.setattr(predict, "BATCH_SIZE", 4)
    monkeypatch.setattr(predict, "PART_SIZE", 8)

    def predict_and_write(project):
        run = Run(project.runs / runs[0].name)
        ids, probabilities = predict.predict(project, [run])
        csv, origin = project.submissions / "run0.csv", origin_of([run], "plain", None)
        write_submission(csv, ids, probabilities.argmax(axis=1), [run.name], **origin)
        return results(project, run)

    expected = predict_and_write(undisturbed)
    folders = ("--data-dir", project.data, "--runs-dir", project.runs)
    folders += ("--submissions-dir", project.submissions)
    command = (*SMALL_PARTS, *map(str, folders), "predict", runs[0].name)
    run_and_kill("pathlib:Path.replace", call, *command)
    left = results(project, runs[0])
    whole = {name: content for name, content in left.items() if not name.startswith(".")}
    assert whole == {name: expected[name] for name in whole}
    assert len(whole) < len(expected)
    assert predict_and_write(project) == expected


def test_another_prediction_at_work_is_not_disturbed(copied):
    project, runs, _ = copied
    with (
        lock(runs[0].folder, "prediction"),
        pytest.raises(BusyError),
    ):
        predict.predict(project, runs[:1])
    csv = project.submissions / "run0.csv"
    with (
        lock_file(csv, "writing"),
        pytest.raises(UserError, match="Another writing of this CSV"),
    ):
        write_submission(csv, np.arange(3), np.arange(3), ["run0"])
    assert not csv.exists()


@pytest.mark.parametrize("step", [1, 2, 7, 8, 9, 10, 11])
def test_a_disk_full_at_any_step_leaves_nothing_incomplete(copied, monkeypatch, step):
    project, runs, _ = copied
    write_manifest(project, "test")
    monkeypatch.setattr(predict, "BATCH_SIZE", 4)
    monkeypatch.setattr(predict, "PART_SIZE", 8)
    csv = project.submissions / "run0.csv"
    calls = []
    sync = files.sync

    def full_disk(path):
        calls.append(path)
        if len(calls) >= 2 * step:  # once for a file, once for its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    def predict_and_write():
        ids, probabilities = predict.predict(project, runs[:1])
        write_submission(csv, ids, probabilities.argmax(axis=1), ["run0"])

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full_disk)
        with pytest.raises(UserError, match="The disk is full"):
            predict_and_write()
    assert not list(project.submissions.glob(".kaggle-cifar*.partial"))
    predict_and_write()
    ids = [int(row.split(",")[0]) for row in csv.read_text().splitlines()[1:]]
    assert ids == sorted(IDS)
    assert not list(runs[0].folder.glob("**/.kaggle-cifar*.partial"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device without room")
def test_a_disk_that_fills_up_while_an_array_is_written_is_told(tmp_path, monkeypatch):
    # NumPy's own writing to a file raises an error that does not tell a full disk.
    write_bytes = Path.write_bytes
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, content: write_bytes(Path("/dev/full"), content)
    )
    with pytest.raises(UserError, match="The disk is full"):
        write_array(tmp_path / "part.npy", np.zeros((10_000, 10), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_test_image_is_named(copied):
    project, runs, _ = copied
    (project.images("test") / "1000.png").unlink()
    with pytest.raises(UserError, match=r"test/1000\.png is missing"):
        predict.predict(project, runs[:1])
    assert not (runs[0].folder / "test_probabilities.npy").exists()


def test_foreign_weights_are_named_and_nothing_is_executed(copied):
    project, runs, _ = copied
    runs[0].weights_file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match=r"model\.weights\.h5 does not hold weights"):
        predict.predict(project, runs[:1])


def test_probabilities_that_are_not_numbers_are_refused(copied):
    project, runs, _ = copied
    predict.predict(project, runs[:1])
    result = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(result)
    rows["probabilities"][3, 5] = np.nan
    np.save(result, rows)
    with pytest.raises(NotProbabilitiesError) as caught:
        predict.predict(project, runs[:1])
    assert (caught.value.path, caught.value.count) == (result, 1)


def test_a_network_that_gives_no_numbers_is_refused(copied):
    project, runs, _ = copied
    model = runs[0].load_model()
    model.layers[-1].bias.assign(np.full(10, np.nan))
    model.save_weights(runs[0].weights_file)
    with pytest.raises(NotProbabilitiesError) as caught:
        predict.predict(project, runs[:1])
    assert caught.value.path == runs[0].weights_file
    assert not runs[0].probabilities_file("test", "plain").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"torn", b"PK\x03\x04 torn", np.zeros((3, 10)), np.full((44, 10), np.nan, np.float32)],
    ids=["empty", "torn", "zip", "another", "not numbers"],
)
def test_a_damaged_part_is_named(copied, monkeypatch, content):
    project, runs, _ = copied
    result = runs[0].probabilities_file("test", "plain")
    with monkeypatch.context() as patch:
        patch.setattr(predict, "write_probabilities", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            predict.predict(project, runs[:1])
    [part] = reserved_path(result, "parts").glob("*.npy")
    if isinstance(content, bytes):
        part.write_bytes(content)
    else:
        np.save(part, content)
    with pytest.raises(UserError) as caught:
        predict.predict(project, runs[:1])
    assert str(part) in str(caught.value)


def test_prediction_keeps_foreign_files_of_a_run(copied):
    project, runs, _ = copied
    folder = runs[0].folder / "test_probabilities.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    predict.predict(project, runs[:1])
    predict.predict(project, runs[:1])
    assert (folder / "mine.txt").read_text() == "mine"


def test_an_unfinished_run_or_one_without_weights_is_refused(copied):
    project, runs, _ = copied
    runs[0].weights_file.unlink()
    with pytest.raises(UserError, match=r"model\.weights\.h5 is missing"):
        predict.predict(project, runs[:1])
    runs[0].metrics_file.unlink()
    with pytest.raises(UserError, match="run0 is not finished"):
        predict.predict(project, runs[:1])


def test_runs_are_found_by_name_and_the_newest_by_default(copied):
    project, runs, _ = copied
    assert find_run(project, "run0").folder == runs[0].folder
    with pytest.raises(UserError, match=r"no run 'run7'.*run0, run1"):
        find_run(project, "run7")
    assert newest_finished_run(project).name == "run1"
    shutil.rmtree(project.runs)
    with pytest.raises(UserError, match="kaggle-cifar train"):
        newest_finished_run(project)


def test_a_run_named_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="The run model1 was named twice"):
        chosen_runs(project_in(tmp_path), ["model1", "model3", "model1"])
