"""Whether confidences match accuracies: reliability diagram and temperature scaling.

Source: Guo, Pleiss, Sun and Weinberger, *On Calibration of Modern Neural Networks*, 2017.
"""

import math
from dataclasses import dataclass

import numpy as np

from kaggle_cifar.evaluation.intervals import wilson_interval
from kaggle_cifar.evaluation.metrics import Predictions

BINS = 15  # of a reliability diagram, as in the paper
SMALLEST = 1e-12  # probability: below, float32's softmax gives 0, which has no logarithm


@dataclass(frozen=True)
class Reliability:
    """The confidence and the accuracy in BINS bins of equal width."""

    confidences: np.ndarray  # float (BINS,), the mean of each bin
    accuracies: np.ndarray  # float (BINS,)
    counts: np.ndarray  # int (BINS,)

    @property
    def intervals(self) -> np.ndarray:
        """The 95 % interval of each bin's accuracy, (BINS, 2)."""
        pairs = zip(self.accuracies, self.counts.clip(1), strict=True)
        return np.array([wilson_interval(accuracy, count) for accuracy, count in pairs])

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean gap, each bin weighted by its images."""
        gaps = np.abs(self.confidences - self.accuracies)
        return float(gaps @ self.counts / self.counts.sum())


def reliability(confidences: np.ndarray, correct: np.ndarray) -> Reliability:
    """Return how often predictions are correct at each confidence."""
    bins = (confidences * BINS).astype(int).clip(0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts.clip(1)
    return Reliability(
        np.bincount(bins, confidences, BINS) / filled,
        np.bincount(bins, correct, BINS) / filled,
        counts,
    )


def fit_temperature(predictions: Predictions) -> float:
    """Return the temperature that gives the labels the highest likelihood.

    Above 1, the run is overconfident, and its logits divided by the temperature are calibrated.
    The likelihood is concave in the inverse temperature, so its slope has one zero.
    """
    logits = np.log(predictions.probabilities.astype(float).clip(SMALLEST))
    own = logits[np.arange(len(predictions)), predictions.labels]
    low, high = 0.01, 100.0  # inverse temperatures
    for _ in range(40):
        middle = math.sqrt(low * high)
        scaled = softmax(middle * logits)
        if (own - (scaled * logits).sum(axis=1)).mean() > 0:
            low = middle
        else:
            high = middle
    return 1 / low


def scale_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities (n, 10) of the logits divided by `temperature`."""
    return softmax(np.log(probabilities.astype(float).clip(SMALLEST)) / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
