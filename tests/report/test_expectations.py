"""The expected scores of runs and submissions."""

import dataclasses
import statistics

import numpy as np
import pytest

from kaggle_cifar import recipes
from kaggle_cifar.evaluation.expected_score import TYPICAL_SEED_SPREAD
from kaggle_cifar.files import write_json
from kaggle_cifar.prediction.ensemble import compare_members
from kaggle_cifar.report.expectations import Expectations, epoch_gain
from kaggle_cifar.training.run_summary import read_run_summary
from tests.helpers.small_runs import EPOCHS, write_run

RECIPE = dataclasses.replace(recipes.model3(), epochs=EPOCHS)


def test_run_of_one_seed_has_the_typical_spread(project):
    runs = [write_run(project, f"seed{seed}", seed=seed) for seed in range(2)]
    expected = Expectations.read(project).of_run("seed0")
    assert (expected.seed_spread, expected.seeds) == (TYPICAL_SEED_SPREAD, 0)
    assert expected.accuracy == runs[0].read_validation_accuracy()
    assert expected.count == 80


def test_run_of_several_seeds_has_their_spread(project):
    runs = [write_run(project, f"seed{seed}", seed=seed) for seed in range(4)]
    write_run(project, "other", seed=9, limit=100)
    expectations = Expectations.read(project)
    spread = statistics.stdev(run.read_validation_accuracy() for run in runs)
    for name in ("seed0", "seed3"):
        expected = expectations.of_run(name)
        assert (expected.seed_spread, expected.seeds) == (pytest.approx(spread), 4)
    assert expectations.of_run("other").seeds == 0


def test_run_has_its_own_expected_score_with_tta(project):
    run = write_run(project, "one")
    assert Expectations.read(project).of_run("one", "tta") is None
    write_json(run.metrics_file, run.read_metrics() | {"validation_accuracy_tta": 0.8})
    assert Expectations.read(project).of_run("one", "tta").accuracy == 0.8


def test_unmeasured_run_has_no_expected_score(project):
    run = write_run(project, "one")
    write_json(run.metrics_file, run.read_metrics() | {"validation_images": 0})
    expectations = Expectations.read(project)
    assert expectations.of_run("one") is expectations.of_run("missing") is None
    assert expectations.of_submission({"runs": ["one"]}) is None
    assert expectations.of_submission({}) is None


@pytest.mark.parametrize(
    ("best", "accuracies", "gain"),
    [
        (3, [0.5, 0.6, 0.8, 0.7], 0.8 - 0.6),  # epochs 1, 2 and 4 are around
        (4, [0.0, 0.6, 0.6, 0.7], 0.1),  # epoch 1 is too far away
        (2, [0.9, 0.6, 0.9, 0.9], 0.0),  # chosen by its loss
    ],
)
def test_epoch_gain_compares_with_the_epochs_around(project, best, accuracies, gain):
    found = read_run_summary(write_run(project, "one", recipe=RECIPE))
    found.metrics["best_epoch"] = best
    for row, accuracy in zip(found.history, accuracies, strict=True):
        row["val_accuracy"] = accuracy
    assert epoch_gain(found) == pytest.approx(gain)
    found.recipe["early_stopping"] = None
    assert epoch_gain(found) == 0


def test_epoch_gain_without_history_is_0(project):
    found = read_run_summary(write_run(project, "one"))
    found.history = []
    assert epoch_gain(found) == 0


def test_ensemble_is_measured_on_the_common_images(project):
    runs = [write_run(project, f"seed{seed}", seed=seed) for seed in range(2)]
    weights = [0.75, 0.25]
    entry = {"runs": ["seed0", "seed1"], "views": "plain", "ensemble_weights": weights}
    expected = Expectations.read(project).of_submission(entry)
    comparison = compare_members(project, runs, "plain")
    assert expected.accuracy == comparison.accuracy(np.array(weights))
    assert expected.count == 80
    assert expected.seed_spread == pytest.approx(TYPICAL_SEED_SPREAD / 2**0.5)


@pytest.mark.parametrize("weights", [None, [1.0], "half", ["a", "b"]])
def test_ensemble_with_invalid_weights_has_no_expected_score(project, weights):
    for seed in range(2):
        write_run(project, f"seed{seed}", seed=seed)
    entry = {"runs": ["seed0", "seed1"], "ensemble_weights": weights}
    assert Expectations.read(project).of_submission(entry) is None
