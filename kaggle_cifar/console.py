"""Messages, tables and progress: a bar on a terminal or in a notebook, plain lines in a log."""

import functools
import importlib.util
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from kaggle_cifar.advice import worded

if TYPE_CHECKING:
    Progress = tqdm[Any]  # generic in its stubs only
else:
    Progress = tqdm

LOG_INTERVAL = 30.0  # seconds between two lines of a log
REDRAW_INTERVAL = 2.0  # seconds between two drawings of a table


class Bar(Progress):
    """A progress bar that escapes the lines printed above it."""

    @classmethod
    def write(cls, s: str, *args: Any, **options: Any) -> None:
        """Print a line above the bar."""
        super().write(printable(s), *args, **options)


class LogLines(Bar):
    """A progress bar that prints a line from time to time, for logs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options, mininterval=LOG_INTERVAL, maxinterval=LOG_INTERVAL, delay=LOG_INTERVAL
        )

    @classmethod
    def write(cls, s: str, *args: Any, **options: Any) -> None:
        """Print a line."""
        say(s)

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Return the function that tqdm calls with each state of the bar."""

        def print_status(status: str) -> None:
            if status.strip():
                print(status.strip(), file=file, flush=True)

        return print_status


@functools.cache
def notebook_bar() -> type[Progress]:
    """Return the class of a notebook's bars: a widget if ipywidgets is installed, else text."""
    if not importlib.util.find_spec("ipywidgets"):
        return Bar
    from tqdm.notebook import tqdm_notebook

    return tqdm_notebook


def is_notebook() -> bool:
    """Return whether the code runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def progress_bar(description: str, total: int, unit: str, initial: int = 0) -> Progress:
    """Return a progress bar on standard error; call its `update(n)` and `close()`.

    `unit` is a noun, or "B" for bytes, which are printed in binary multiples. In a notebook, the
    bar is part of the cell's output.
    """
    bar_class: type[Progress] = Bar if sys.stderr.isatty() else LogLines
    if is_notebook():
        bar_class = notebook_bar()
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
    """A table that is redrawn in place on a terminal and printed from time to time in a log."""

    def __init__(self) -> None:
        self._shown = time.monotonic()
        self._lines = 0  # of the table on the terminal

    def show(self, text: Callable[[], str]) -> None:
        """Show the table that `text` returns, unless one was shown a moment ago."""
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
        """Replace the table by a line; the next table follows it."""
        self.clear()
        say(message)

    def clear(self) -> None:
        """Erase the table from the terminal."""
        if self._lines:
            print(f"\x1b[{self._lines}F\x1b[J", end="")
        self._lines = 0


def duration(seconds: float) -> str:
    """Return a duration as text: "42 s", "3 min 5 s", "2 h 7 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def counted(count: float, noun: str) -> str:
    """Return a number with a regular noun: "1 epoch", "1,000 images", "2.5 epochs"."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"


def enumerated(words: Sequence[str]) -> str:
    """Return words as an enumeration: "a", "a and b", "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def say(message: str) -> None:
    """Print a line to standard output, in the words of the front end in use."""
    print(printable(worded(message)), flush=True)


def say_error(message: str) -> None:
    """Print a line to standard error."""
    print(printable(message), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return `text` with Python's escapes for characters that control or confuse a terminal.

    File names and server messages may contain control characters and bidirectional marks. Letters
    of every language, newlines and tabs stay.
    """
    return "".join(
        character if is_printable(character) else ascii(character)[1:-1] for character in text
    )


def is_printable(character: str) -> bool:
    """Return whether a terminal shows a character as itself; every space counts."""
    return character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text, with aligned columns under a header."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
