"""Progress of long work: a bar on a terminal, plain lines in a log."""

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

LOG_INTERVAL = 30.0  # seconds between two lines of a log
REDRAW_INTERVAL = 2.0  # seconds between two drawings of a table


class Bar(tqdm):
    """A tqdm whose lines are safe to print."""

    @classmethod
    def write(cls, s: str, *args: Any, **options: Any) -> None:
        """Print a line above the bar."""
        super().write(printable(s), *args, **options)


class LogLines(Bar):
    """A bar that prints a whole line now and then instead of redrawing one."""

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
    bar_class = Bar if sys.stderr.isatty() else LogLines
    scale: dict[str, Any] = {"unit_scale": True, "unit_divisor": 1024} if unit == "B" else {}
    return bar_class(
        desc=description,
        total=total,
        unit=unit if unit == "B" else f" {unit}",
        initial=initial,
        dynamic_ncols=True,
        **scale,
    )


class LiveTable:
    """A table that changes: drawn again over itself on a terminal, printed anew in a log."""

    def __init__(self) -> None:
        self._shown = time.monotonic()
        self._lines = 0  # to be drawn over

    def show(self, text: Callable[[], str]) -> None:
        """Show the table that `text` returns, if it is time to."""
        on_terminal = sys.stdout.isatty()
        now = time.monotonic()
        if now - self._shown < (REDRAW_INTERVAL if on_terminal else LOG_INTERVAL):
            return
        self._shown = now
        if not on_terminal:
            say(f"{text()}\n")
            return
        self.clear()
        width = shutil.get_terminal_size().columns
        lines = [line[:width] for line in printable(text()).splitlines()]
        self._lines = len(lines)
        say("\n".join(lines))

    def say(self, message: str) -> None:
        """Print a line for the user; the table follows it when it is shown next."""
        self.clear()
        say(message)

    def clear(self) -> None:
        """Take the table off the terminal, so that other lines can be printed."""
        if self._lines:
            print(f"\x1b[{self._lines}F\x1b[J", end="")
        self._lines = 0


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
    print(printable(message), flush=True)


def printable(text: str) -> str:
    """Return `text` with escapes, as in Python, for what a terminal would obey or hide.

    Names of files and the words of a server may hold control characters and marks that turn the
    direction of writing. Letters of every language, newlines and tabs stay.
    """
    return "".join(
        character if is_printable(character) else ascii(character)[1:-1] for character in text
    )


def is_printable(character: str) -> bool:
    """Whether a character is shown as itself; any kind of space is."""
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
