"""Probabilities by id: complete, in order, resumed after a kill, never stale."""

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import files, recipes
from kaggle_cifar.competition import SAMPLE_SUBMISSION
from kaggle_cifar.data.decoding import BrokenImageError
from kaggle_cifar.errors import DataMissingError, UserError
from kaggle_cifar.files import BusyError, lock, lock_file, write_text
from kaggle_cifar.models.inference import NotProbabilitiesError, read_probabilities, write_array
from kaggle_cifar.ownership import ForeignPathError, remove_reserved, reserved_path
from kaggle_cifar.prediction import predict
from kaggle_cifar.submission.write import origin_of, write_submission
from kaggle_cifar.training.run import Run
from tests.helpers.simulated_kills import Killed
from tests.helpers.small_data import (
    project_in,
    write_manifest,
    write_test_data,
)
from tests.prediction.conftest import (
    copy_project,
    fake_probabilities,
    shift_of,
    write_two_runs,
)

# Numeric and alphabetic order differ, and ids are neither dense nor from 1.
IDS = [*range(2, 120, 3), 1000, 21, 300_000, 99_999]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two finished runs and the pixels of the test images by id."""
    folder = tmp_path_factory.mktemp("prediction")
    return write_two_runs(folder, recipes.model1(), IDS, images=40)


@pytest.fixture
def copied(project, tmp_path):
    """The same in folders that a test may change."""
    project, runs, pixels = project
    return *copy_project(project, runs, tmp_path / "copy"), pixels


def in_order(pixels):
    return np.stack([pixels[i] for i in sorted(pixels)])


def expected(run, pixels):
    """Return what a fake network predicts."""
    return fake_probabilities(in_order(pixels), shift_of(run))


def small_parts(monkeypatch):
    monkeypatch.setattr(predict, "BATCH_SIZE", 4)
    monkeypatch.setattr(predict, "PART_SIZE", 8)


@pytest.mark.slow
def test_every_id_gets_the_probabilities_of_its_image(copied):
    project, runs, pixels = copied
    ids, probabilities = predict.predict(project, runs[:1])
    np.testing.assert_array_equal(ids, sorted(IDS))
    logits = runs[0].load_model().predict(in_order(pixels), verbose=0)
    by_keras = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, by_keras, atol=1e-5)
    kept = read_probabilities(runs[0].folder / "test_probabilities.npy")
    np.testing.assert_array_equal(kept["id"], ids)
    np.testing.assert_allclose(kept["probabilities"], probabilities, atol=1e-7)


def test_runs_are_averaged(copied, fake_networks):
    project, runs, pixels = copied
    one, other = (expected(run, pixels) for run in runs)
    _, probabilities = predict.predict(project, runs)
    np.testing.assert_allclose(probabilities, (one + other) / 2, atol=1e-6)
    _, probabilities = predict.predict(project, runs, weights=[0.25, 0.75])
    np.testing.assert_allclose(probabilities, 0.25 * one + 0.75 * other, atol=1e-6)


def test_probabilities_are_computed_once(copied, fake_networks):
    project, runs, _ = copied
    _, first = predict.predict(project, runs)
    assert fake_networks == ["plain", "plain"]
    _, second = predict.predict(project, runs)
    assert fake_networks == ["plain", "plain"]
    np.testing.assert_array_equal(first, second)


def test_predictions_made_elsewhere_need_no_images(copied, fake_networks):
    project, runs, _ = copied
    _, first = predict.predict(project, runs[:1])
    shutil.rmtree(project.images("test"))
    project.manifest("test").unlink(missing_ok=True)
    _, second = predict.predict(project, runs[:1])
    np.testing.assert_array_equal(first, second)
    result = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(result)
    np.save(result, rows[1:])
    with pytest.raises(DataMissingError):
        predict.predict(project, runs[:1])
    assert len(read_probabilities(result)) == len(rows) - 1  # nothing was deleted


def test_changed_images_are_predicted_again(copied, fake_networks):
    project, runs, _ = copied
    predict.predict(project, runs[:1])
    changed = write_test_data(project, IDS, seed=9)
    _, probabilities = predict.predict(project, runs[:1])
    new = dict(zip(IDS, changed, strict=True))
    np.testing.assert_allclose(probabilities, expected(runs[0], new), atol=1e-6)


def test_changed_weights_are_predicted_again(copied, fake_networks):
    project, runs, pixels = copied
    predict.predict(project, runs[:1])
    shutil.copy(runs[1].weights_file, runs[0].weights_file)
    _, probabilities = predict.predict(project, runs[:1])
    np.testing.assert_allclose(probabilities, expected(runs[1], pixels), atol=1e-6)


@pytest.mark.parametrize("kills", [[1], [3, 2], [5, 1, 2]])
def test_killed_prediction_resumes_to_the_same_bytes(copied, fake_networks, monkeypatch, kills):
    project, runs, _ = copied
    small_parts(monkeypatch)
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
    assert done == sum(kills) - len(kills)  # finished parts are not computed again
    predict.predict(project, runs[:1])
    assert result.read_bytes() == whole
    assert not reserved_path(result, "parts").exists()


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
    """Gives probabilities that identify the image, counts images, and may be killed."""

    def __init__(self, kill_at=None):
        self.kill_at, self.batches, self.images = kill_at, 0, 0

    def __call__(self, pixels):
        self.batches += 1
        if self.batches == self.kill_at:
            raise Killed
        self.images += len(pixels)
        return fake_probabilities(pixels)


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
        for network in networks:
            patch.setattr(predict, "load_forward", lambda *_, network=network: network)
            with contextlib.suppress(Killed):
                ids, probabilities = predict.predict(project, [run])
    assert ids.tolist() == sorted(chosen)
    expected = fake_probabilities(np.stack([pixels[i] for i in ids]))
    np.testing.assert_array_equal(probabilities, expected)
    assert (
        count <= sum(network.images for network in networks) < count + batch_size * batches_a_part
    )
    if count == len(IDS):
        assert len(list(project.cache.glob("test-*.npy"))) == 1


def predict_and_write(project, name="run0"):
    run = Run(project.runs / name)
    ids, probabilities = predict.predict(project, [run])
    csv, origin = project.submissions / f"{name}.csv", origin_of([run], "plain", None)
    write_submission(csv, ids, probabilities.argmax(axis=1), [name], **origin)


# Arguments: the folder of the project, and the call of `Path.replace` at which to die.
PREDICT_AND_DIE = """
import sys
from pathlib import Path
import pytest
from tests.helpers.kills import killing
from tests.helpers.small_data import project_in
from tests.prediction import conftest, test_predict
with pytest.MonkeyPatch.context() as patch:
    test_predict.small_parts(patch)
    conftest.replace_networks(patch)
    Path.replace = killing(Path.replace, int(sys.argv[2]))
    test_predict.predict_and_write(project_in(Path(sys.argv[1])))
"""


def results(project):
    """Return all that predicting and writing the CSV made, by name."""
    folders = (project.runs / "run0", project.cache, project.submissions)
    paths = [
        path for folder in folders for path in folder.glob("*") if path.name != ".kaggle-cifar.lock"
    ]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


@pytest.mark.kill
@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("call", "cached"),
    [(3, True), (7, False), (9, True), (10, True), (11, True)],
    ids=["a part", "the cache", "the probabilities", "the CSV's record", "the CSV"],
)
def test_prediction_resumes_after_a_kill(copied, fake_networks, monkeypatch, call, cached):
    project, runs, _ = copied
    write_manifest(project, "test")
    small_parts(monkeypatch)
    predict_and_write(project)
    expected = results(project)
    for name in ("test_probabilities.npy", "test_probabilities.json"):
        (runs[0].folder / name).unlink()
    shutil.rmtree(project.submissions)
    if not cached:
        shutil.rmtree(project.cache)
    command = [sys.executable, "-c", PREDICT_AND_DIE, str(project.data.parent), str(call)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    left = results(project)
    whole = {name: content for name, content in left.items() if not name.startswith(".")}
    assert whole == {name: expected[name] for name in whole}
    assert len(whole) < len(expected)
    predict_and_write(project)
    assert results(project) == expected


def test_prediction_refuses_to_run_twice_at_once(copied):
    project, runs, _ = copied
    with lock(runs[0].folder, "prediction"), pytest.raises(BusyError):
        predict.predict(project, runs[:1])
    csv = project.submissions / "run0.csv"
    with lock_file(csv, "writing"), pytest.raises(BusyError):
        write_submission(csv, np.arange(3), np.arange(3), ["run0"])
    assert not csv.exists()


@pytest.mark.parametrize("step", [1, 2, 7, 8, 9, 10, 11])
def test_full_disk_leaves_no_partial_file(copied, fake_networks, monkeypatch, step):
    project, runs, _ = copied
    write_manifest(project, "test")
    small_parts(monkeypatch)
    calls = []
    sync = files.sync

    def full_disk(path):
        calls.append(path)
        if len(calls) >= 2 * step:  # once for a file, once for its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full_disk)
        with pytest.raises(UserError, match="The disk is full"):
            predict_and_write(project)
    assert not list(project.submissions.glob(".kaggle-cifar*.partial"))
    predict_and_write(project)
    csv = project.submissions / "run0.csv"
    ids = [int(row.split(",")[0]) for row in csv.read_text().splitlines()[1:]]
    assert ids == sorted(IDS)
    assert not list(runs[0].folder.glob("**/.kaggle-cifar*.partial"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_full_disk_during_an_array_is_an_error(tmp_path, monkeypatch):
    # NumPy hides a full disk when it writes to a file itself.
    write_bytes = Path.write_bytes
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, content: write_bytes(Path("/dev/full"), content)
    )
    with pytest.raises(UserError, match="The disk is full"):
        write_array(tmp_path / "part.npy", np.zeros((10_000, 10), np.float32))
    assert list(tmp_path.iterdir()) == []


def test_missing_test_image_is_named(copied):
    project, runs, _ = copied
    path = project.images("test") / "1000.png"
    path.unlink()
    with pytest.raises(BrokenImageError) as caught:
        predict.predict(project, runs[:1])
    assert str(caught.value.path) == str(path)
    assert not (runs[0].folder / "test_probabilities.npy").exists()


def test_foreign_weights_are_refused_and_not_executed(copied):
    project, runs, _ = copied
    runs[0].weights_file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match=re.escape(str(runs[0].weights_file))):
        predict.predict(project, runs[:1])


def test_kept_probabilities_that_are_not_numbers_are_refused(copied, fake_networks):
    project, runs, _ = copied
    predict.predict(project, runs[:1])
    result = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(result)
    rows["probabilities"][3, 5] = np.nan
    np.save(result, rows)
    with pytest.raises(NotProbabilitiesError) as caught:
        predict.predict(project, runs[:1])
    assert (caught.value.path, caught.value.count) == (result, 1)


def test_network_that_gives_no_numbers_is_refused(copied, fake_networks, monkeypatch):
    project, runs, _ = copied
    nothing = np.full((len(IDS), 10), np.nan, np.float32)
    monkeypatch.setattr(predict, "load_forward", lambda *_: lambda pixels: nothing)
    with pytest.raises(NotProbabilitiesError) as caught:
        predict.predict(project, runs[:1])
    assert caught.value.path == runs[0].weights_file
    assert not runs[0].probabilities_file("test", "plain").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"damaged", b"PK\x03\x04 damaged", np.zeros((3, 10)), np.full((44, 10), np.nan, "f4")],
    ids=["empty", "damaged", "zip", "another", "not numbers"],
)
def test_damaged_part_is_named(copied, fake_networks, monkeypatch, content):
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
    with pytest.raises(UserError, match=re.escape(str(part))):
        predict.predict(project, runs[:1])


def test_prediction_keeps_foreign_files_of_a_run(copied, fake_networks):
    project, runs, _ = copied
    folder = runs[0].folder / "test_probabilities.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    predict.predict(project, runs[:1])
    predict.predict(project, runs[:1])
    assert (folder / "mine.txt").read_text() == "mine"


def test_prediction_refuses_a_folder_at_its_result(copied, fake_networks):
    project, runs, _ = copied
    result = runs[0].probabilities_file("test", "plain")
    result.mkdir()
    with pytest.raises(ForeignPathError) as caught:
        predict.predict(project, runs[:1])
    assert caught.value.path == result and result.is_dir()


def test_unfinished_run_or_one_without_weights_is_refused(copied):
    project, runs, _ = copied
    runs[0].weights_file.unlink()
    with pytest.raises(UserError, match=re.escape(str(runs[0].weights_file))):
        predict.predict(project, runs[:1])
    runs[0].metrics_file.unlink()
    with pytest.raises(UserError, match="run0 is not finished"):
        predict.predict(project, runs[:1])


@pytest.mark.parametrize("views", ["plain", "tta"])
def test_damaged_key_says_how_to_predict_again(copied, fake_networks, views):
    project, runs, _ = copied
    key = runs[0].probabilities_file("test", views).with_suffix(".json")
    key.write_text("{")
    with pytest.raises(UserError) as caught:
        predict.predict(project, runs[:1], views)
    again = project.command("predict", runs[0].name, *(["--tta"] if views == "tta" else []))
    assert f"Delete {key}, then run `{again}`" in str(caught.value)
