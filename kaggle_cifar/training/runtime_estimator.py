"""An estimate of how long a training will take."""

import time

from kaggle_cifar.console import duration, say

MEASURED = 10.0  # seconds of training before the estimate


class RuntimeEstimator:
    """Prints once, after the first seconds, how long the training will take."""

    def __init__(self, images: int, epochs: float) -> None:
        self._images, self._epochs = images, epochs  # images of an epoch
        self._start: tuple[float, float] | None = None
        self._printed = False

    def update(self, images_seen: float) -> None:
        """Record the images seen so far; print the estimate when it is due."""
        now = time.monotonic()
        if self._start is None:  # the first step includes compilation
            self._start = now, images_seen
        seconds, images = now - self._start[0], images_seen - self._start[1]
        if self._printed or seconds < MEASURED:
            return
        self._printed = True
        speed = images / seconds
        remaining = (self._epochs * self._images - images_seen) / speed
        say(
            f"{speed:,.0f} images/s: about {duration(self._images / speed)} an epoch, "
            f"at most {duration(remaining)} to the end of epoch {self._epochs:.4g}."
        )
