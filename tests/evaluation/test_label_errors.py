"""Label errors are found, and the likeliest come first."""

import numpy as np
from hypothesis import given

from kaggle_cifar.evaluation.label_errors import likely_label_errors
from kaggle_cifar.evaluation.metrics import Predictions
from tests.evaluation.conftest import draw_predictions, predictions


def test_changed_labels_are_found():
    right = draw_predictions(accuracy=1.0)
    labels = right.labels.copy()
    labels[:60] = (labels[:60] + 3) % 10
    rows, likely = likely_label_errors(Predictions(right.ids, labels, right.probabilities))
    assert set(rows) <= set(range(60)) and len(rows) > 25
    np.testing.assert_array_equal(likely, right.labels[rows])


@given(predictions)
def test_label_errors_come_by_falling_margin(predictions):
    rows, likely = likely_label_errors(predictions)
    assert (likely != predictions.labels[rows]).all() and len(set(rows)) == len(rows)
    own = predictions.probabilities[rows, predictions.labels[rows]]
    assert (np.diff(own - predictions.probabilities[rows, likely]) >= -1e-7).all()
