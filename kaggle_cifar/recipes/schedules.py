"""What changes in the course of a training: learning rate, passes, image size, end."""

import math
from dataclasses import dataclass

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.fields import FROM_0
from kaggle_cifar.recipes.validation import (
    FRACTION,
    PROPER_FRACTION,
    positive,
    validate,
    whole_number,
)


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` epochs without a new lowest validation loss; keep its weights."""

    patience: int

    def __post_init__(self) -> None:
        validate(self, "early_stopping.", patience=whole_number(1))


@dataclass(frozen=True)
class ReduceLROnPlateau:
    """Multiply the learning rate by `factor` after `patience` epochs without improvement.

    An epoch improves if its validation loss is lower than the best by more than `min_delta`.
    """

    factor: float
    patience: int = 2
    min_delta: float = 1e-4

    def __post_init__(self) -> None:
        kinds = {"factor": PROPER_FRACTION, "patience": whole_number(1), "min_delta": FROM_0}
        validate(self, "plateau.", **kinds)


@dataclass(frozen=True)
class ExponentialDecay:
    """Multiply the learning rate by e^-`rate` at the start of each epoch from `start` on.

    Epochs count from zero.
    """

    start: int
    rate: float

    def __post_init__(self) -> None:
        validate(self, "exponential_decay.", start=whole_number(0), rate=FROM_0)


@dataclass(frozen=True)
class TriangularSchedule:
    """Raise the learning rate from `start` times its value to that value, then lower it to `end`.

    Both are linear in the steps; the rise takes the fraction `peak` of all steps.
    """

    start: float
    peak: float
    end: float

    def __post_init__(self) -> None:
        validate(self, "schedule.", start=FROM_0, peak=FRACTION, end=FROM_0)

    def factor(self, progress: float) -> float:
        """Return the factor of the learning rate after the fraction `progress` of all steps."""
        if progress < self.peak:
            return self.start + (1 - self.start) * progress / self.peak
        return 1 + (self.end - 1) * (progress - self.peak) / (1 - self.peak)


@dataclass(frozen=True)
class CosineSchedule:
    """Raise the learning rate from zero linearly, then lower it to `end` times its value.

    The rise takes the fraction `warmup` of all steps. The fall is half a period of the cosine,
    after Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (arXiv
    1608.03983), without restarts.
    """

    warmup: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        validate(self, "schedule.", warmup=FRACTION, end=FROM_0)

    def factor(self, progress: float) -> float:
        """Return the factor of the learning rate after the fraction `progress` of all steps."""
        if progress < self.warmup:
            return progress / self.warmup
        turn = math.pi * (progress - self.warmup) / (1 - self.warmup)
        return self.end + (1 - self.end) * (1 + math.cos(turn)) / 2


@dataclass(frozen=True)
class Sharpness:
    """Take the gradients where the loss is highest at the distance `rho` of the weights.

    That is sharpness-aware minimization (arXiv 2010.01412). An `adaptive` distance is measured in
    shares of each weight (ASAM, arXiv 2102.11600). It needs a second pass through the network,
    from the fraction `start` of all steps on.
    """

    rho: float
    adaptive: bool = False
    start: float = 0.0

    def __post_init__(self) -> None:
        validate(self, "sharpness.", rho=positive(), start=FRACTION)


@dataclass(frozen=True)
class ProgressiveResizing:
    """Train on images of `size` x `size` pixels for the first `share` of the steps.

    After fast.ai's progressive resizing. Translation and cutout come first, so that their pixels
    are those of the whole image.
    """

    size: int
    share: float

    def __post_init__(self) -> None:
        kinds = {"size": whole_number(1, IMAGE_SIZE - 1), "share": PROPER_FRACTION}
        validate(self, "progressive_resizing.", **kinds)


@dataclass(frozen=True)
class Phase:
    """How the steps are computed in a part of a training."""

    image_size: int
    sharpness: Sharpness | None
