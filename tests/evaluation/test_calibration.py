"""Calibration errors and temperatures of distributions that are known."""

import numpy as np
import pytest

from kaggle_cifar.evaluation import calibration
from kaggle_cifar.evaluation.metrics import Predictions


def test_calibration_error_of_honest_and_overconfident_runs():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.1, 1, 200_000)
    correct = rng.random(200_000) < confidences
    found = calibration.reliability(confidences, correct)
    assert found.calibration_error < 0.01
    assert found.counts.sum() == 200_000
    assert (found.intervals[:, 0] <= found.accuracies).all()
    overconfident = calibration.reliability(np.minimum(confidences + 0.1, 1), correct)
    assert overconfident.calibration_error == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fit_temperature_finds_the_temperature(temperature):
    rng = np.random.default_rng(1)
    honest = calibration.softmax(rng.normal(0, 1, (20_000, 10)))
    labels = (rng.random((20_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    sure = calibration.scale_temperature(honest, 1 / temperature)
    found = calibration.fit_temperature(Predictions(np.arange(20_000), labels, sure))
    assert found == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(calibration.scale_temperature(sure, temperature), honest, atol=1e-6)


def test_fit_temperature_accepts_probabilities_of_0():
    probabilities = np.eye(10, dtype=np.float32)[[1, 2, 3, 4]]
    predictions = Predictions(np.arange(4), np.array([1, 2, 3, 5]), probabilities)
    assert np.isfinite(calibration.fit_temperature(predictions))
