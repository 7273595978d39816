"""Stop a training cleanly on SIGINT and SIGTERM."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

StopSignal = Callable[[], int | None]  # returns the number of the signal that arrived, if any


class Interrupted(Exception):
    """The signal `signal_number` stopped a training with its state saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


@contextmanager
def watch_signals() -> Iterator[StopSignal]:
    """Yield a function that returns the SIGINT or SIGTERM received, or None.

    A second one interrupts at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # only the main thread may set handlers
        return
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("Stopping: saving the state …", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
