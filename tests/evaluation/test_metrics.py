"""Confusions, mistakes and agreement, checked by their definitions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar.evaluation import metrics
from tests.evaluation.conftest import draw_predictions, predictions


@given(predictions)
def test_confusion_matrix_counts_every_image_once(predictions):
    confusion = metrics.confusion_matrix(predictions)
    assert confusion.sum() == len(predictions)
    assert np.trace(confusion) == predictions.correct.sum()
    counts = np.bincount(predictions.labels, minlength=10)
    np.testing.assert_array_equal(confusion.sum(axis=1), counts)
    precision, recall = metrics.precision_recall(confusion)
    assert ((precision >= 0) & (precision <= 1) & (recall >= 0) & (recall <= 1)).all()
    frequent = metrics.frequent_confusions(confusion, 100)
    assert sum(images for _, _, images in frequent) == (~predictions.correct).sum()


def test_frequent_confusions_come_by_falling_images():
    confusion = np.diag([9] * 10)
    confusion[3, 5], confusion[0, 2], confusion[5, 3] = 4, 7, 5
    assert metrics.frequent_confusions(confusion, 2) == [(0, 2, 7), (5, 3, 5)]


@given(predictions, st.integers(0, 30))
def test_confident_mistakes_come_by_falling_confidence(predictions, count):
    rows = metrics.confident_mistakes(predictions, count)
    assert len(rows) == min(count, (~predictions.correct).sum())
    assert not predictions.correct[rows].any()
    assert (np.diff(predictions.confidences[rows]) <= 0).all()


def test_common_images_are_those_that_all_have():
    predictions = draw_predictions(100)
    parts = [predictions.take(np.arange(first, first + 50)) for first in (1, 21, 31)]
    for part in metrics.common_images(parts):
        np.testing.assert_array_equal(part.ids, np.arange(31, 51))
        np.testing.assert_array_equal(part.labels, predictions.labels[30:50])


def test_agreement_is_the_share_of_equal_predictions():
    one, other = draw_predictions(50, seed=0), draw_predictions(50, seed=1)
    shares = metrics.agreement([one, other])
    equal = np.mean(one.classes == other.classes)
    np.testing.assert_allclose(shares, [[1, equal], [equal, 1]])
