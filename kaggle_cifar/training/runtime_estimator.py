"""An estimate of how long a training will take."""

import time
from collections.abc import Callable

from kaggle_cifar.console import duration, say

MEASURED = 10.0  # seconds of training before the estimate


class RuntimeEstimator:
    """Prints once, after the first seconds, how long the training will take.

    `images` is the number of images of an epoch. `work_done` returns the share of the training's
    operations that is done.
    """

    def __init__(self, images: int, epochs: float, work_done: Callable[[], float]) -> None:
        self._images, self._epochs, self._work_done = images, epochs, work_done
        self._start: tuple[float, float, float] | None = None
        self._printed = False

    def update(self, images_seen: float) -> None:
        """Record the images seen so far; print the estimate when it is due."""
        now = time.monotonic()
        if self._start is None:  # the first step includes compilation
            self._start = now, images_seen, self._work_done()
        seconds = now - self._start[0]
        if self._printed or seconds < MEASURED:
            return
        self._printed = True
        speed = (images_seen - self._start[1]) / seconds
        done = self._work_done()
        remaining = (1 - done) * seconds / (done - self._start[2])
        say(
            f"{speed:,.0f} images/s: about {duration(self._images / speed)} an epoch, "
            f"at most {duration(remaining)} to the end of epoch {self._epochs:.4g}."
        )
