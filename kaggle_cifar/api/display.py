"""What a notebook shows: tables, pages and figures as HTML or PNG, failures as a sentence."""

import base64
import functools
import html
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kaggle_cifar.errors import sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
PAGE_HEIGHT = 700  # pixels

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def without_traceback(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Have a notebook show Ctrl-C and errors of the system in a function as one sentence.

    The exceptions stay what they are. A `UserError` is shown so in any case.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        try:
            return function(*arguments, **keywords)
        except KeyboardInterrupt as stop:
            _show_as(stop, "Stopped. Make the same call again to resume.")
            raise
        except OSError as error:
            _show_as(error, f"{type(error).__name__}: {sentence(error)}")
            raise

    return wrapper


def _show_as(error: BaseException, text: str) -> None:
    error._render_traceback_ = lambda: [text]  # type: ignore[attr-defined]  # IPython calls it


def html_table(rows: Iterable[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Return a table as HTML; all text is escaped."""
    head = f"<thead>{_row(header, 'th')}</thead>" if header else ""
    body = "".join(_row(row, "td") for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _row(cells: Sequence[str], tag: str) -> str:
    style = ' style="text-align: left"'
    return f"<tr>{''.join(f'<{tag}{style}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def html_image(path: Path, text: str) -> str:
    """Return a PNG as an HTML image that contains its bytes; nothing if it is missing."""
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return ""
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{content}">'


def shown_once(figure: "Figure") -> "Figure":
    """Return a figure that a notebook shows as the value of a cell.

    It is not one of pyplot's figures, which a notebook shows once more at the end of the cell.
    """
    figure._repr_png_ = functools.partial(to_png, figure)  # type: ignore[attr-defined]
    return figure


def to_png(figure: "Figure") -> bytes:
    """Return a figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


@dataclass(frozen=True)
class Page:
    """An HTML page on disk, which a notebook shows inline; usable as a path."""

    path: Path

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        page = html.escape(self.path.read_text(encoding="utf-8"))
        style = f"width: 100%; height: {PAGE_HEIGHT}px; border: 0"
        return f'<p>{html.escape(str(self))}</p><iframe srcdoc="{page}" style="{style}"></iframe>'
