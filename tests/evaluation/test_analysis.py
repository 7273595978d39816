"""The mathematics of the report, held against its definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar.evaluation import analysis
from kaggle_cifar.evaluation.analysis import Judged
from tests.helpers.small_runs import draw_probabilities


def judge(count=2000, accuracy=0.7, seed=0):
    labels = np.random.default_rng(seed).integers(0, 10, count)
    return Judged(np.arange(1, count + 1), labels, draw_probabilities(labels, accuracy, seed))


judgements = st.builds(judge, st.integers(1, 300), st.floats(0, 1), st.integers(0, 1000))


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_values_that_a_test_would_not_reject(counts):
    right, count = counts
    low, high = analysis.wilson_interval(right / count, count)
    assert -1e-9 <= low <= right / count + 1e-9 and right / count - 1e-9 <= high <= 1 + 1e-9
    for bound in (low, high):  # each bound lies Z of its own standard errors away
        error = np.sqrt(max(bound * (1 - bound), 0) / count)
        assert abs(right / count - bound) == pytest.approx(analysis.Z * error, abs=1e-6)


def test_the_expected_score_adds_both_samplings():
    low, high = analysis.score_interval(0.85, 10_000)
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(2 * 0.85 * 0.15 / 10_000), rel=1e-3)
    assert analysis.score_interval(1.0, 100) == (1.0, 1.0)


@given(judgements)
def test_the_confusion_matrix_counts_every_image_once(judged):
    confusion = analysis.confusion_matrix(judged)
    assert confusion.sum() == len(judged)
    assert np.trace(confusion) == judged.correct.sum()
    np.testing.assert_array_equal(confusion.sum(axis=1), np.bincount(judged.labels, minlength=10))
    precision, recall = analysis.precision_recall(confusion)
    assert ((precision >= 0) & (precision <= 1) & (recall >= 0) & (recall <= 1)).all()
    frequent = analysis.frequent_confusions(confusion, 100)
    assert sum(images for _, _, images in frequent) == (~judged.correct).sum()


@given(judgements, st.integers(0, 30))
def test_the_surest_mistakes_are_mistakes_by_falling_confidence(judged, count):
    rows = analysis.confident_mistakes(judged, count)
    assert len(rows) == min(count, (~judged.correct).sum())
    assert not judged.correct[rows].any()
    assert (np.diff(judged.confidences[rows]) <= 0).all()


def test_labels_that_were_changed_are_found():
    judged = judge(accuracy=1.0)
    labels = judged.labels.copy()
    labels[:60] = (labels[:60] + 3) % 10
    rows, likely = analysis.likely_label_errors(Judged(judged.ids, labels, judged.probabilities))
    assert set(rows) <= set(range(60)) and len(rows) > 25
    np.testing.assert_array_equal(likely, judged.labels[rows])


@given(judgements)
def test_a_likely_label_is_another_one_and_the_likeliest_come_first(judged):
    rows, likely = analysis.likely_label_errors(judged)
    assert (likely != judged.labels[rows]).all() and len(set(rows)) == len(rows)
    own = judged.probabilities[rows, judged.labels[rows]]
    assert (np.diff(own - judged.probabilities[rows, likely]) >= -1e-7).all()


def test_an_honest_run_has_no_calibration_error():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.1, 1, 200_000)
    found = analysis.reliability(confidences, rng.random(200_000) < confidences)
    assert found.calibration_error < 0.01
    assert found.counts.sum() == 200_000
    correct = rng.random(200_000) < confidences
    surer = analysis.reliability(np.minimum(confidences + 0.1, 1), correct)
    assert surer.calibration_error == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_used_is_found(temperature):
    rng = np.random.default_rng(1)
    honest = analysis.softmax(rng.normal(0, 1, (20_000, 10)))
    labels = (rng.random((20_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    sure = analysis.cool(honest, 1 / temperature)
    judged = Judged(np.arange(20_000), labels, sure)
    found = analysis.fit_temperature(judged)
    assert found == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(analysis.cool(sure, temperature), honest, atol=1e-6)


def test_a_temperature_is_found_where_probabilities_are_0():
    probabilities = np.eye(10, dtype=np.float32)[[1, 2, 3, 4]]
    judged = Judged(np.arange(4), np.array([1, 2, 3, 5]), probabilities)
    assert np.isfinite(analysis.fit_temperature(judged))


def test_a_difference_on_the_same_images_is_surer_than_two_accuracies():
    rng = np.random.default_rng(0)
    one = rng.random(10_000) < 0.85
    other = one & (rng.random(10_000) > 0.01)
    found = analysis.difference(one, other)
    assert found.certain and found.mean == pytest.approx(one.mean() - other.mean())
    assert found.half < 0.003
    assert not analysis.difference(one, one).certain


def test_common_images_are_those_that_all_have():
    judged = judge(100)
    parts = [judged.take(np.arange(first, first + 50)) for first in (1, 21, 31)]
    for part in analysis.common_images(parts):
        np.testing.assert_array_equal(part.ids, np.arange(31, 51))
        np.testing.assert_array_equal(part.labels, judged.labels[30:50])
