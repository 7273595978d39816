"""Intervals, checked by their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar.evaluation import intervals


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_inverts_the_score_test(counts):
    right, count = counts
    low, high = intervals.wilson_interval(right / count, count)
    assert -1e-9 <= low <= right / count + 1e-9 and right / count - 1e-9 <= high <= 1 + 1e-9
    for bound in (low, high):  # each bound is Z of its own standard errors away
        error = np.sqrt(max(bound * (1 - bound), 0) / count)
        assert abs(right / count - bound) == pytest.approx(intervals.Z * error, abs=1e-6)


def test_accuracy_difference_is_paired():
    rng = np.random.default_rng(0)
    one = rng.random(10_000) < 0.85
    other = one & (rng.random(10_000) > 0.01)
    found = intervals.accuracy_difference(one, other)
    assert found.certain and found.mean == pytest.approx(one.mean() - other.mean())
    assert found.half < 0.003  # two separate accuracies would give 0.01
    assert not intervals.accuracy_difference(one, one).certain


def test_paired_difference_is_smaller_than_two_errors():
    first, second = np.array([True, True, True, False]), np.array([True, True, False, False])
    difference, error = intervals.paired_difference(first, second)
    assert difference == 0.25
    assert error == pytest.approx(np.std([0, 0, 1, 0]) / 2)
    assert intervals.standard_error(0.75, 4) == pytest.approx(np.std([1, 1, 1, 0]) / 2)
