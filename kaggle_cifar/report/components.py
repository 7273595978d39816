"""The parts of a page: tables, pictures and galleries, and how a page is rendered and written."""

import base64
import functools
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kaggle_cifar import __version__
from kaggle_cifar.console import counted, say
from kaggle_cifar.figures import GENERATOR, begins_with_mark, save_titled, to_svg
from kaggle_cifar.files import write_text
from kaggle_cifar.ownership import ForeignPathError

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup
    from matplotlib.figure import Figure

BETWEEN = "~"  # between the names of compared runs in a folder's name; no run's name has it
PAGE_MARK = f'<meta name="generator" content="{GENERATOR}">'.encode()
LONGEST_WORD = 30  # characters of a command that stay on one line
SHOWN = 24  # images of a gallery: three rows of eight


class Cell(NamedTuple):
    """A table's cell: its text, a value to sort by instead of the text, a link."""

    text: str
    value: float | None = None
    link: str | None = None


class Table(NamedTuple):
    """A sortable table."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Picture(NamedTuple):
    """A figure on a page, and its description."""

    svg: "Markup"
    text: str


class GalleryImage(NamedTuple):
    """An image of a gallery: its data URI, None if it is unreadable, and its caption."""

    source: str | None
    lines: tuple[str, ...]


def to_picture(figure: "Figure", text: str) -> Picture:
    """Return the picture of a figure."""
    from markupsafe import Markup

    return Picture(Markup(to_svg(figure)), text)


def save_picture(path: Path, figure: "Figure", text: str) -> Picture:
    """Write a figure as a PNG and return its picture."""
    save_titled(figure, path)
    return to_picture(figure, text)


def make_gallery(
    folder: Path, ids: np.ndarray, captions: Sequence[tuple[str, ...]]
) -> list[GalleryImage]:
    """Return the gallery of a folder's images."""
    return [
        GalleryImage(png_uri(folder / f"{image_id}.png"), caption)
        for image_id, caption in zip(ids, captions, strict=True)
    ]


def png_uri(file: Path) -> str | None:
    """Return a PNG as a data URI; None if it is missing or cannot be decoded."""
    from PIL import Image

    try:
        content = file.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def column(history: list[dict[str, Any]], key: str) -> list[float | None]:
    """Return a column of a history, with None for what is not a number."""
    values = [row.get(key) for row in history]
    return [float(value) if isinstance(value, int | float) else None for value in values]


def last_value(values: Sequence[float | None]) -> str:
    """Return the last number of a column as text."""
    numbers = [value for value in values if value is not None]
    return f"{numbers[-1]:.4f}" if numbers else "nothing"


def percent(share: float) -> str:
    """Return a share as a percentage; only a whole share gives 100.0."""
    shown = round(100 * float(share), 1)
    return f"{min(shown, 99.9) if share < 1 else shown}\N{NO-BREAK SPACE}%"


def render(template: str, **content: Any) -> str:
    """Return a self-contained page."""
    page = environment().get_template(template)
    return page.render(version=__version__, generator=GENERATOR, **content)


def is_own_page(path: Path) -> bool:
    """Return whether the file at `path` is a page that this program wrote."""
    return begins_with_mark(path, PAGE_MARK)


def require_own_page(path: Path) -> None:
    """Raise a ForeignPathError unless `path` is new or a page that this program wrote."""
    if path.exists() and not is_own_page(path):
        raise ForeignPathError(
            path,
            f"{path} was not written by this program, so it is not replaced. Move or rename it, "
            "then run this again.",
        )


def write_page(path: Path, page: str) -> None:
    """Write a page and print its path; raises as `require_own_page`."""
    require_own_page(path)
    write_text(path, page)
    say(f"{path}")


@functools.cache
def environment() -> "jinja2.Environment":
    """Return the templates; text is escaped, and a missing name is an error."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("kaggle_cifar.report.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["with_code"] = with_code
    templates.filters["counted"] = counted
    templates.filters["breakable"] = breakable
    return templates


def with_code(sentence: str) -> "Markup":
    """Return a sentence as HTML, with text between backquotes as code.

    Each word of the code is an element, so that a line breaks between two options, not in one. A
    word may break if it is too long for a phone, such as a path.
    """
    from markupsafe import Markup, escape

    def as_code(match: re.Match[str]) -> str:
        words = (
            f"<span>{word}</span>" if len(word) <= LONGEST_WORD else word
            for word in match[1].split()
        )
        return f"<code>{' '.join(words)}</code>"

    return Markup(re.sub("`([^`]*)`", as_code, str(escape(sentence))))


def breakable(text: str) -> "Markup":
    """Return a text as HTML that may break after punctuation, such as a run's name."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"([,=_/~+])", r"\1<wbr>", str(escape(text))))
