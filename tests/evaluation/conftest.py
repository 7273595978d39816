"""Predictions of random images."""

import numpy as np
from hypothesis import strategies as st

from kaggle_cifar.evaluation.metrics import Predictions
from tests.helpers.small_runs import draw_probabilities


def draw_predictions(count=2000, accuracy=0.7, seed=0):
    labels = np.random.default_rng(seed).integers(0, 10, count)
    return Predictions(np.arange(1, count + 1), labels, draw_probabilities(labels, accuracy, seed))


predictions = st.builds(
    draw_predictions, st.integers(1, 300), st.floats(0, 1), st.integers(0, 1000)
)
