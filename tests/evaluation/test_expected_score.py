"""The expected score, by simulation and against published figures."""

import numpy as np
import pytest

from kaggle_cifar.competition import SCORED_COUNT
from kaggle_cifar.evaluation.expected_score import SHIFT, SHIFT_ERROR, ExpectedScore


@pytest.mark.parametrize(
    ("measured", "published"), [(0.9430, 0.9401), (0.9656, 0.9603)], ids=["airbench94", "96"]
)
def test_interval_holds_the_published_accuracy(measured, published):
    low, high = ExpectedScore(measured, 5_000).interval
    assert low < published < high
    assert abs((low + high) / 2 - published) < abs(measured - published)


def test_interval_covers_95_percent_of_simulated_scores():
    """True accuracies, seeds, epochs and shifts drawn as the docstring of the class says."""
    rng = np.random.default_rng(0)
    count, draws, gain = 5_000, 20_000, 0.006
    true = 0.9
    measured = rng.binomial(count, true, draws) / count + rng.uniform(0, gain, draws)
    measured = measured + rng.normal(0, 0.003, draws)
    score = rng.binomial(SCORED_COUNT, true + rng.normal(SHIFT, SHIFT_ERROR, draws)) / SCORED_COUNT
    intervals = np.array(
        [ExpectedScore(accuracy, count, epoch_gain=gain).interval for accuracy in measured]
    )
    covered = (intervals[:, 0] <= score) & (score <= intervals[:, 1])
    assert covered.mean() == pytest.approx(0.95, abs=0.01)


def test_interval_widens_with_each_source():
    def width(**sources: float) -> float:
        low, high = ExpectedScore(0.9, 5_000, **sources).interval
        return high - low

    assert width(seed_spread=0) < width() < width(seed_spread=0.01)
    assert width() < width(epoch_gain=0.01)
    counting_error = 2 * 1.96 * np.sqrt(0.9 * 0.1 * (1 / 5_000 + 1 / SCORED_COUNT))
    assert width(seed_spread=0) > counting_error


@pytest.mark.parametrize("accuracy", [0.0, 0.001, 1.0])
def test_interval_stays_between_0_and_1(accuracy):
    low, high = ExpectedScore(accuracy, 100, epoch_gain=0.05).interval
    assert 0 <= low <= high <= 1


def test_sources_name_what_was_added():
    sources = ExpectedScore(0.9, 5_000, 0.0021, 4, 0.01).sources
    for part in ("5,000", "10,000", "± 0.0041 (from 4 seeds)", "-0.0050", "-0.0041"):
        assert part in sources
    sources = ExpectedScore(0.9, 5_000).sources
    assert "typical" in sources and "epoch" not in sources
