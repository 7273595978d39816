"""Probabilities by id: whole, in order, resumed after a kill, never stale."""

import dataclasses
import shutil

import numpy as np
import pytest
from small_data import layout_in, write_test_data, write_training_data

from kaggle_cifar import prediction, recipes, training
from kaggle_cifar.errors import UserError
from kaggle_cifar.inference import read_probabilities
from kaggle_cifar.runs import Run, RunOptions, chosen_runs, find_run, newest_finished_run

# Numeric and alphabetic order differ, and ids are neither dense nor from 1.
IDS = [*range(2, 120, 3), 1000, 21, 300_000, 99_999]


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program may run on it."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two finished runs and the pixels of the test images by id."""
    layout = layout_in(tmp_path_factory.mktemp("prediction"))
    write_training_data(layout, 40)
    pixels = write_test_data(layout, IDS)
    recipe = dataclasses.replace(recipes.model3_tuned(), epochs=1)
    runs = [training.train(layout, recipe, f"run{i}", RunOptions(seed=i)) for i in (0, 1)]
    return layout, runs, dict(zip(IDS, pixels, strict=True))


@pytest.fixture
def copied(project, tmp_path):
    """The same in folders that a test may change."""
    layout, runs, pixels = project
    folder = tmp_path / "copy"
    shutil.copytree(layout.data.parent, folder)
    copy = layout_in(folder)
    return copy, [Run(copy.runs / run.name) for run in runs], pixels


def expected(run, pixels):
    return run.load_model().predict(np.stack([pixels[i] for i in sorted(pixels)]), verbose=0)


def test_every_id_has_the_probabilities_of_its_own_image(copied):
    layout, runs, pixels = copied
    ids, probabilities = prediction.predict(layout, runs[:1])
    np.testing.assert_array_equal(ids, sorted(IDS))
    np.testing.assert_allclose(probabilities, expected(runs[0], pixels), atol=1e-5)
    kept = read_probabilities(runs[0].folder / "test_probabilities.npy")
    np.testing.assert_array_equal(kept["id"], ids)
    np.testing.assert_allclose(kept["probabilities"], probabilities, atol=1e-7)


def test_several_runs_are_averaged(copied):
    layout, runs, pixels = copied
    _, probabilities = prediction.predict(layout, runs)
    mean = (expected(runs[0], pixels) + expected(runs[1], pixels)) / 2
    np.testing.assert_allclose(probabilities, mean, atol=1e-5)


def no_network(*args):
    raise AssertionError("predicted anew")


def test_probabilities_are_computed_once(copied, monkeypatch):
    layout, runs, _ = copied
    _, first = prediction.predict(layout, runs)
    monkeypatch.setattr(prediction, "compile_forward", no_network)
    _, second = prediction.predict(layout, runs)
    np.testing.assert_array_equal(first, second)


def test_predictions_made_elsewhere_need_no_images_here(copied):
    layout, runs, _ = copied
    _, first = prediction.predict(layout, runs[:1])
    shutil.rmtree(layout.images("test"))
    layout.manifest("test").unlink(missing_ok=True)
    _, second = prediction.predict(layout, runs[:1])
    np.testing.assert_array_equal(first, second)
    result = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(result)
    np.save(result, rows[1:])
    with pytest.raises(UserError, match="is missing: the test images are not extracted"):
        prediction.predict(layout, runs[:1])
    assert len(read_probabilities(result)) == len(rows) - 1  # nothing was thrown away


def test_changed_images_are_predicted_anew(copied):
    layout, runs, _ = copied
    prediction.predict(layout, runs[:1])
    changed = write_test_data(layout, IDS, seed=9)
    _, probabilities = prediction.predict(layout, runs[:1])
    new = dict(zip(IDS, changed, strict=True))
    np.testing.assert_allclose(probabilities, expected(runs[0], new), atol=1e-5)


def test_changed_weights_are_predicted_anew(copied):
    layout, runs, pixels = copied
    prediction.predict(layout, runs[:1])
    shutil.copy(runs[1].weights_file, runs[0].weights_file)
    _, probabilities = prediction.predict(layout, runs[:1])
    np.testing.assert_allclose(probabilities, expected(runs[1], pixels), atol=1e-5)


@pytest.mark.parametrize("kills", [[1], [3, 2], [5, 1, 2]])
def test_a_killed_prediction_ends_with_the_same_bytes(copied, monkeypatch, kills):
    layout, runs, _ = copied
    monkeypatch.setattr(prediction, "BATCH_SIZE", 4)
    monkeypatch.setattr(prediction, "PART_SIZE", 8)
    prediction.predict(layout, runs[:1])
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
                prediction.predict(layout, runs[:1])
        assert not result.exists()
    done = len(list((runs[0].folder / "test_probabilities.parts").glob("*.npy")))
    assert done == sum(kills) - len(kills)  # what was finished is not computed again
    prediction.predict(layout, runs[:1])
    assert result.read_bytes() == whole
    assert not (runs[0].folder / "test_probabilities.parts").exists()


def test_the_number_of_images_and_of_a_batch_do_not_matter(copied, monkeypatch):
    layout, runs, _ = copied
    _, whole = prediction.predict(layout, runs[:1])
    for batch_size, part_size in (
        (1, 1),
        (len(IDS) - 1, len(IDS) - 1),
        (len(IDS), len(IDS)),
        (7, 14),
    ):
        (runs[0].folder / "test_probabilities.npy").unlink()
        monkeypatch.setattr(prediction, "BATCH_SIZE", batch_size)
        monkeypatch.setattr(prediction, "PART_SIZE", part_size)
        ids, probabilities = prediction.predict(layout, runs[:1])
        np.testing.assert_array_equal(ids, sorted(IDS))
        np.testing.assert_allclose(probabilities, whole, atol=1e-5)


def test_a_missing_test_image_is_named(copied):
    layout, runs, _ = copied
    (layout.images("test") / "1000.png").unlink()
    with pytest.raises(UserError, match=r"test/1000\.png is missing"):
        prediction.predict(layout, runs[:1])
    assert not (runs[0].folder / "test_probabilities.npy").exists()


def test_foreign_weights_are_named_and_nothing_is_executed(copied):
    layout, runs, _ = copied
    runs[0].weights_file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UserError, match=r"model\.weights\.h5 does not hold weights of model3"):
        prediction.predict(layout, runs[:1])


def test_an_unfinished_run_or_one_without_weights_is_refused(copied):
    layout, runs, _ = copied
    runs[0].weights_file.unlink()
    with pytest.raises(UserError, match=r"model\.weights\.h5 is missing"):
        prediction.predict(layout, runs[:1])
    runs[0].metrics_file.unlink()
    with pytest.raises(UserError, match="run0 is not finished"):
        prediction.predict(layout, runs[:1])


def test_runs_are_found_by_name_and_the_newest_by_default(copied):
    layout, runs, _ = copied
    assert find_run(layout, "run0").folder == runs[0].folder
    with pytest.raises(UserError, match=r"no run 'run7'.*run0, run1"):
        find_run(layout, "run7")
    assert newest_finished_run(layout).name == "run1"
    shutil.rmtree(layout.runs)
    with pytest.raises(UserError, match="kaggle-cifar train"):
        newest_finished_run(layout)


def test_a_run_named_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="The run model1 was named twice"):
        chosen_runs(layout_in(tmp_path), ["model1", "model3", "model1"])
