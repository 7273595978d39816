"""Standard errors and 95 % intervals of accuracies and of their differences."""

import math
from dataclasses import dataclass

import numpy as np

Z = 1.959964  # standard errors on either side of a 95 % interval


def standard_error(accuracy: float, count: int) -> float:
    """Return the standard error of an accuracy counted on `count` independent images."""
    return math.sqrt(accuracy * (1 - accuracy) / count)


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy measured on `count` images.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.
    """
    centre = accuracy + Z**2 / (2 * count)
    half = Z * math.sqrt(accuracy * (1 - accuracy) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return (centre - half) / scale, (centre + half) / scale


def paired_difference(correct: np.ndarray, other_correct: np.ndarray) -> tuple[float, float]:
    """Return the first accuracy minus the other, and its standard error, from bool (n,) each.

    Comparing image by image cancels out what is hard for both.
    """
    gains = correct.astype(float) - other_correct
    return float(gains.mean()), float(gains.std()) / math.sqrt(len(gains))


def half_interval(accuracy: float, count: int) -> float:
    """Return half of the 95 % interval of an accuracy measured on `count` images.

    It is the normal approximation, which is symmetric: the number after every ±.
    """
    return Z * standard_error(accuracy, count)


@dataclass(frozen=True)
class Difference:
    """The difference of two accuracies on the same images."""

    mean: float
    half: float  # half the width of the 95 % interval

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return abs(self.mean) > self.half


def accuracy_difference(
    correct: np.ndarray,
    other_correct: np.ndarray,
) -> Difference:
    """Return the first accuracy minus the second, by which images, bool (n,), are correct."""
    mean, error = paired_difference(correct, other_correct)
    return Difference(mean, Z * error)
