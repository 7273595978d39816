"""Progress of long work: a bar on a terminal, plain lines in a log."""

import sys
from typing import Any

from tqdm import tqdm

LOG_INTERVAL = 30.0  # seconds between two lines of a log


class LogLines(tqdm):
    """A tqdm that prints a whole line now and then instead of redrawing one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, mininterval=LOG_INTERVAL, maxinterval=LOG_INTERVAL, delay=LOG_INTERVAL
        )

    @classmethod
    def write(cls, s: str, *args: Any, **options: Any) -> None:
        """Print a line; there is no bar to draw around it."""
        say(s)

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Return the function that tqdm calls with each state of the bar."""

        def print_status(status: str) -> None:
            if status.strip():
                print(status.strip(), file=file, flush=True)

        return print_status


def progress_bar(description: str, total: int, unit: str, initial: int = 0) -> tqdm:
    """Return a progress display on standard error; call `update(n)` and `close()` on it.

    `unit` is "B" for bytes, which are shown in binary multiples, or a noun.
    """
    bar_class = tqdm if sys.stderr.isatty() else LogLines
    scale: dict[str, Any] = {"unit_scale": True, "unit_divisor": 1024} if unit == "B" else {}
    return bar_class(
        desc=description,
        total=total,
        unit=unit if unit == "B" else f" {unit}",
        initial=initial,
        dynamic_ncols=True,
        **scale,
    )


def duration(seconds: float) -> str:
    """Return seconds as people say them: "42 s", "3 min 5 s", "2 h 7 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def say(message: str) -> None:
    """Print a line for the user, in a log at once."""
    print(message, flush=True)
