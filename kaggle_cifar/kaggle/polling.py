"""Looking for something again and again until a time is over."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 15.0  # seconds
GROWTH = 1.5  # of each pause over the one before


@dataclass(frozen=True)
class Poll:
    """How time passes while this program polls; tests replace `sleep` and `clock`."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def attempts(self, seconds: float) -> Iterator[None]:
        """Yield at once, then after growing pauses, until the seconds are over."""
        deadline = self.clock() + seconds
        pause = FIRST_PAUSE
        while True:
            yield
            if self.clock() + pause > deadline:
                return
            self.sleep(pause)
            pause = min(pause * GROWTH, LONGEST_PAUSE)
