"""The score to expect at Kaggle, from an accuracy on held-back training images."""

import math
from dataclasses import dataclass

from kaggle_cifar.competition import SCORED_COUNT
from kaggle_cifar.evaluation.intervals import Z

TYPICAL_SEED_SPREAD = 0.003  # of an accuracy
SHIFT, SHIFT_ERROR = -0.0041, 0.0036  # from held-back training images to the test images


@dataclass(frozen=True)
class ExpectedScore:
    """The 95 % prediction interval of Kaggle's score, and what it is made of.

    Four variances add up, and two biases:

    - The accuracy was measured on a sample of `count` images, and SCORED_COUNT others are scored.
      Each adds the binomial variance.
    - Seeds differ, and a seed that is lucky on some images need not be lucky on others (Jordan,
      *On the Variance of Neural Network Training with respect to Test Sets and Distributions*,
      2023). Source of TYPICAL_SEED_SPREAD: docs/recipes.md, where the accuracies of three seeds
      of airbench84 and of airbench94 have standard deviations from 0.0014 to 0.0040.
    - If the epoch was chosen by the validation images, the accuracy of that epoch is too high, by
      anything from nothing to `epoch_gain`. The uniform distribution gives bias and variance.
    - The test images are harder than held-back training images. Source of SHIFT: with test-time
      augmentation, 0.9430 and 0.9656 here (docs/recipes.md, 5,000 images) compared with 0.9401
      and 0.9603 on the test images (arXiv 2404.00498) for airbench94 and airbench96. It is the
      mean of the two differences; SHIFT_ERROR is the standard error by the sampling of the 5,000
      and 10,000 images, which both differences share.

    Attributes
    ----------
    accuracy
        The accuracy on the validation images, a share.
    count
        The number of these images.
    seed_spread
        The standard deviation of the accuracy over seeds.
    seeds
        The number of seeds that gave `seed_spread`; 0 if it is the typical one.
    epoch_gain
        By how much the chosen epoch stands out from the epochs around it.
    """

    accuracy: float
    count: int
    seed_spread: float = TYPICAL_SEED_SPREAD
    seeds: int = 0
    epoch_gain: float = 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The lowest and the highest score to expect, shares."""
        sampling = self.accuracy * (1 - self.accuracy) * (1 / self.count + 1 / SCORED_COUNT)
        variance = sampling + self.seed_spread**2 + self.epoch_gain**2 / 12 + SHIFT_ERROR**2
        centre = self.accuracy - self.epoch_gain / 2 + SHIFT
        half = Z * math.sqrt(variance)
        return min(max(centre - half, 0.0), 1.0), min(max(centre + half, 0.0), 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{low:.3f} to {high:.3f}"

    @property
    def sources(self) -> str:
        """What is added to the accuracy, as text, each with half of its 95 % interval."""
        seeds = f"from {self.seeds} seeds" if self.seeds else "typical"
        parts = [
            f"{self.count:,} images measured and {SCORED_COUNT:,} others scored",
            f"seeds ± {Z * self.seed_spread:.4f} ({seeds})",
            f"harder test images {SHIFT:+.4f} ± {Z * SHIFT_ERROR:.4f}",
        ]
        if self.epoch_gain:
            bias = self.epoch_gain / 2  # and 95 % of a uniform distribution, on either side
            parts.insert(2, f"choice of epoch {-bias:+.4f} ± {0.95 * bias:.4f}")
        return ", ".join(parts)
