"""Adaptive TTA: the threshold costs little, depends on the image alone, and survives kills."""

import dataclasses
import json

import click
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar import cli, recipes
from kaggle_cifar.api import submissions
from kaggle_cifar.api.arguments import ArgumentTypeError
from kaggle_cifar.files import write_json
from kaggle_cifar.models.inference import merge_views, read_probabilities, write_probabilities
from kaggle_cifar.ownership import reserved_path
from kaggle_cifar.prediction import adaptive_tta, predict
from kaggle_cifar.prediction.adaptive_tta import (
    MOST_DIFFERING,
    RECIPE_THRESHOLDS,
    SAFETY,
    find_threshold,
    fit_threshold,
    margins,
)
from kaggle_cifar.submission.record import read_record
from tests.helpers.simulated_kills import Killed
from tests.helpers.small_runs import write_run
from tests.prediction.conftest import (
    copy_project,
    fake_probabilities,
    shift_of,
    write_two_runs,
)

IDS = [*range(2, 120, 3), 1000, 21, 300_000, 99_999]
THRESHOLD = 0.02  # below it is about half of the fake networks' margins


# The threshold


def draw_rows(seed, count=2000):
    """Return plain and TTA probabilities; the classes differ if the plain ones are unsure."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    logits = rng.normal(size=(count, 10)) * 1.5
    logits[np.arange(count), labels] += rng.exponential(5, count)
    others = logits + rng.normal(size=(count, 10)) / 2
    return to_probabilities(logits), to_probabilities(others)


def to_probabilities(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def differing(plain, tta, threshold):
    """Return the share of images whose class at a threshold is not that of all views."""
    unsure = margins(plain) < threshold
    classes = np.where(unsure, tta.argmax(axis=1), plain.argmax(axis=1))
    return (classes != tta.argmax(axis=1)).mean()


def test_margin_is_the_distance_of_the_two_highest():
    rows = np.array([[0.1, 0.7, 0.2] + [0] * 7, [0.1] * 10], np.float32)
    np.testing.assert_allclose(margins(rows), [0.5, 0], atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_threshold_is_just_above_the_lowest_that_fits(seed):
    plain, tta = draw_rows(seed, 20_000)
    threshold = fit_threshold(plain, tta) - SAFETY
    assert 0 < threshold < 1
    assert differing(plain, tta, threshold) <= MOST_DIFFERING
    assert differing(plain, tta, threshold - 0.001) > MOST_DIFFERING


def test_threshold_of_equal_views_is_the_safety():
    plain, _ = draw_rows(0)
    assert fit_threshold(plain, plain) == SAFETY


def test_network_that_is_surely_wrong_needs_all_views():
    certain = np.eye(10, dtype=np.float32)
    assert fit_threshold(certain, np.roll(certain, 1, axis=0)) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with 400 training images and two runs whose recipe has no threshold."""
    recipe = dataclasses.replace(recipes.model1(), name="small")
    return write_two_runs(tmp_path_factory.mktemp("adaptive"), recipe, IDS, images=400)


@pytest.fixture
def copied(trained, tmp_path):
    """The same in folders that a test may change."""
    project, runs, pixels = trained
    return *copy_project(project, runs, tmp_path / "copy"), pixels


def write_validation(run):
    """Write validation probabilities without and with TTA; return what should be fitted to them."""
    file = run.probabilities_file("validation", "plain")
    ids = read_probabilities(file)["id"]
    plain, tta = draw_rows(3, len(ids))
    write_probabilities(file, ids, plain)
    write_probabilities(run.probabilities_file("validation", "tta"), ids, tta)
    return fit_threshold(plain, tta)


def test_threshold_is_fitted_to_the_validation_images(copied, monkeypatch):
    runs = copied[1]
    fitted = write_validation(runs[0])
    assert find_threshold(runs[0]) is None  # 80 images are too few
    monkeypatch.setattr(adaptive_tta, "FEWEST_IMAGES", 80)
    assert find_threshold(runs[0]) == fitted != SAFETY


def test_run_without_validation_takes_the_threshold_of_its_recipe(copied):
    run = write_run(copied[0], "all", recipe=recipes.airbench94(), validation="none")
    run.probabilities_file("validation", "plain").unlink()
    assert find_threshold(run) == RECIPE_THRESHOLDS["airbench94"]
    assert 0 < RECIPE_THRESHOLDS["airbench94"] < 1


def test_thresholds_are_of_recipes_that_exist():
    assert RECIPE_THRESHOLDS.keys() <= recipes.RECIPES.keys()


# Prediction


@pytest.fixture
def threshold(monkeypatch):
    """A threshold for each run, which a test may change."""
    thresholds = {}
    monkeypatch.setattr(predict, "find_threshold", lambda run: thresholds.get(run.name, THRESHOLD))
    return thresholds


def in_order(pixels):
    return np.stack([pixels[i] for i in sorted(pixels)])


def expected(run, pixels, threshold=THRESHOLD):
    """Return what a fake network predicts, and which images take all views."""
    plain = fake_probabilities(in_order(pixels), shift_of(run))
    unsure = margins(plain) < threshold
    tta = merge_views(plain, fake_probabilities(in_order(pixels), shift_of(run) + 1))
    return np.where(unsure[:, None], tta, plain), unsure


def small_parts(monkeypatch):
    monkeypatch.setattr(predict, "BATCH_SIZE", 2)
    monkeypatch.setattr(predict, "PART_SIZE", 4)


def key_of(run):
    return json.loads(run.probabilities_file("test", "tta").with_suffix(".json").read_text())


def test_only_unsure_images_take_all_views(copied, fake_networks, threshold, capsys):
    project, runs, pixels = copied
    ids, probabilities = predict.predict(project, runs[:1], "tta")
    rows, unsure = expected(runs[0], pixels)
    assert 5 < unsure.sum() < len(IDS) - 5
    np.testing.assert_array_equal(ids, sorted(IDS))
    np.testing.assert_allclose(probabilities, rows, atol=1e-6)
    assert fake_networks == ["plain", "augmented"]
    assert (key_of(runs[0])["tta_threshold"], key_of(runs[0])["all_views"]) == (
        THRESHOLD,
        unsure.sum(),
    )
    share = f"{unsure.mean():.1%} of the test images ({unsure.sum()} of {len(IDS)})"
    assert share in capsys.readouterr().out
    predict.predict(project, runs[:1], "tta")
    assert fake_networks == ["plain", "augmented"]
    assert share in capsys.readouterr().out


@pytest.mark.parametrize("value", [0.0, None])
def test_no_image_or_all_images_may_be_unsure(copied, fake_networks, threshold, value):
    project, runs, pixels = copied
    threshold["run0"] = value
    _, probabilities = predict.predict(project, runs[:1], "tta")
    rows, _ = expected(runs[0], pixels, 2.0 if value is None else value)
    np.testing.assert_allclose(probabilities, rows, atol=1e-6)


def test_full_tta_replaces_adaptive_and_is_kept(copied, fake_networks, threshold):
    project, runs, pixels = copied
    predict.predict(project, runs[:1], "tta")
    _, full = predict.predict(project, runs[:1], "tta", adaptive=False)
    assert fake_networks == ["plain", "augmented", "augmented"]
    np.testing.assert_allclose(full, expected(runs[0], pixels, 2.0)[0], atol=1e-6)
    _, again = predict.predict(project, runs[:1], "tta")
    np.testing.assert_array_equal(again, full)
    assert len(fake_networks) == 3


def test_tta_of_an_older_version_is_kept(copied, fake_networks, threshold):
    project, runs, _ = copied
    _, full = predict.predict(project, runs[:1], "tta", adaptive=False)
    file = runs[0].probabilities_file("test", "tta").with_suffix(".json")
    key = {
        name: key_of(runs[0])[name] for name in ("weights_sha256", "views", "test_images_sha256")
    }
    write_json(file, key)
    _, again = predict.predict(project, runs[:1], "tta")
    np.testing.assert_array_equal(again, full)
    assert len(fake_networks) == 2


def test_another_threshold_predicts_again(copied, fake_networks, threshold):
    project, runs, pixels = copied
    predict.predict(project, runs[:1], "tta")
    threshold["run0"] = 0.05
    _, probabilities = predict.predict(project, runs[:1], "tta")
    np.testing.assert_allclose(probabilities, expected(runs[0], pixels, 0.05)[0], atol=1e-6)
    assert fake_networks == ["plain", "augmented", "augmented"]


def test_adaptive_and_full_runs_form_an_ensemble(copied, fake_networks, threshold):
    project, runs, pixels = copied
    predict.predict(project, runs[1:], "tta", adaptive=False)
    path = submissions.write_predictions(project, runs, "tta", True, False, None)
    record = read_record(path)
    assert record["tta_thresholds"] == [THRESHOLD, None]
    mean = (expected(runs[0], pixels)[0] + expected(runs[1], pixels, 2.0)[0]) / 2
    _, probabilities = predict.predict(project, runs, "tta")
    np.testing.assert_allclose(probabilities, mean, atol=1e-6)
    assert fake_networks == ["plain", "augmented"] * 2


@pytest.mark.parametrize("kills", [[1], [3, 2], [12, 1], [14, 1, 2], [16]])
def test_killed_adaptive_prediction_resumes(copied, fake_networks, threshold, monkeypatch, kills):
    project, runs, _ = copied
    small_parts(monkeypatch)
    predict.predict(project, runs[:1], "tta")
    results = [runs[0].probabilities_file("test", views) for views in ("plain", "tta")]
    whole = [file.read_bytes() for result in results for file in (result, predict.key_file(result))]
    for result in results:
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
                predict.predict(project, runs[:1], "tta")
        assert not results[1].exists()
    predict.predict(project, runs[:1], "tta")
    files = [file for result in results for file in (result, predict.key_file(result))]
    assert [file.read_bytes() for file in files] == whole
    assert not list(runs[0].folder.glob(".kaggle-cifar*parts*"))


def test_parts_of_other_unsure_images_are_not_used(copied, fake_networks, threshold, monkeypatch):
    project, runs, pixels = copied
    small_parts(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(predict, "merge_views", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            predict.predict(project, runs[:1], "tta")
    parts = reserved_path(runs[0].probabilities_file("test", "tta"), "parts")
    assert len(list(parts.glob("*.npy"))) > 1
    plain = runs[0].probabilities_file("test", "plain")
    rows = read_probabilities(plain)
    # Another machine rounds otherwise: now the first image is sure, and another one is not.
    unsure = margins(rows["probabilities"]) < THRESHOLD
    swapped = [int(np.flatnonzero(unsure)[0]), int(np.flatnonzero(~unsure)[0])]
    rows["probabilities"][swapped] = rows["probabilities"][swapped[::-1]]
    np.save(plain, rows)
    _, probabilities = predict.predict(project, runs[:1], "tta")
    unsure[swapped] = unsure[swapped[::-1]]
    augmented = fake_probabilities(in_order(pixels), shift_of(runs[0]) + 1)
    merged = merge_views(rows["probabilities"], augmented)
    expected_rows = np.where(unsure[:, None], merged, rows["probabilities"])
    np.testing.assert_allclose(probabilities, expected_rows, atol=1e-6)


@given(chosen=st.sets(st.sampled_from(IDS), min_size=1), value=st.floats(0, 0.1))
def test_choice_depends_on_the_image_alone(chosen, value):
    rng = np.random.default_rng(1)
    rows = fake_probabilities(rng.integers(0, 256, (300_001, 1, 1, 10)).transpose(0, 3, 1, 2))
    ids = sorted(chosen)
    among_all = adaptive_tta.is_unsure(rows, value)[ids]
    np.testing.assert_array_equal(adaptive_tta.is_unsure(rows[ids], value), among_all)


# The command line and the API


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (False, "plain", ())),
        (["run0"], (False, "plain", ("run0",))),
        (["--tta"], (True, "tta", ())),
        (["--tta", "run0"], (True, "tta", ("run0",))),
        (["run0", "--tta"], (True, "tta", ("run0",))),
        (["--tta", "full", "run0"], (False, "tta", ("run0",))),
        (["run0", "--tta", "full"], (False, "tta", ("run0",))),
        (["--tta=full", "run0"], (False, "tta", ("run0",))),
        (["--tta", "--", "full"], (True, "tta", ("full",))),
    ],
)
def test_tta_option_takes_no_run_as_its_value(monkeypatch, arguments, expected):
    given = []
    monkeypatch.setattr("kaggle_cifar.training.find_runs.chosen_runs", lambda _, runs: runs)
    monkeypatch.setattr(
        "kaggle_cifar.api.submissions.write_predictions",
        lambda _, runs, views, adaptive, *rest: given.append((adaptive, views, runs)),
    )
    cli.cli.main(["predict", *arguments], standalone_mode=False)
    assert given == [expected]


def test_tta_option_refuses_another_value():
    with pytest.raises(click.BadParameter):
        cli.cli.main(["predict", "--tta=half"], standalone_mode=False)


@pytest.mark.parametrize("value", ["half", None, 6])
def test_api_refuses_another_tta(copied, value):
    project = copied[0]
    with pytest.raises(ArgumentTypeError) as caught:
        submissions.predict_with(project, [], value, False, None)
    assert caught.value.key == "tta"
