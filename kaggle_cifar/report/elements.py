"""What pages are made of: tables, figures, galleries; and how they are rendered."""

import base64
import functools
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kaggle_cifar import __version__, figures
from kaggle_cifar.figures import GENERATOR, begins_with_mark
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.progress import say
from kaggle_cifar.storage import write_text

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

BETWEEN = "~"  # between the names in that of a comparison's folder: no run's name has it
PAGE_MARK = f'<meta name="generator" content="{GENERATOR}">'.encode()
SHOWN = 24  # images of a gallery: three rows of eight


class Cell(NamedTuple):
    """A table's cell: its text, what to sort by where that is not the text, where it leads."""

    text: str
    value: float | None = None
    link: str | None = None


class Table(NamedTuple):
    """A table that sorts."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Picture(NamedTuple):
    """A figure on a page, and what it shows in words."""

    svg: "Markup"
    text: str


class Shown(NamedTuple):
    """An image of a gallery: its data URI, None where it cannot be read, and its lines."""

    source: str | None
    lines: tuple[str, ...]


@dataclass
class Album:
    """Draws figures: each becomes a PNG in the folder and a picture for the page."""

    folder: Path

    def add(self, name: str, figure: "Figure", text: str) -> Picture:
        """Write a figure's PNG and return its picture."""
        figures.save(figure, self.folder / f"{name}.png")
        return to_picture(figure, text)

    def add_gallery(
        self, name: str, folder: Path, ids: np.ndarray, lines: Sequence[tuple[str, ...]]
    ) -> list[Shown]:
        """Write the PNG of a gallery of a folder's images and return what the page shows."""
        if not len(ids):
            return []
        contents = [read_png(folder / f"{image_id}.png") for image_id in ids]
        pixels = [content and decode(content) for content in contents]
        captions = ["\n".join(part) for part in lines]
        figures.save(figures.draw_gallery(pixels, captions), self.folder / f"{name}.png")
        return [
            Shown(data_uri(content), part) for content, part in zip(contents, lines, strict=True)
        ]


def read_png(file: Path) -> bytes | None:
    """Return the content of a PNG that can be shown; None where there is none."""
    from PIL import Image

    try:
        content = file.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return content


def decode(content: bytes) -> np.ndarray:
    """Return the pixels of a PNG as uint8 (height, width, 3)."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def data_uri(content: bytes | None) -> str | None:
    """Return a PNG as an address that holds it; None where there is none."""
    if content is None:
        return None
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def to_picture(figure: "Figure", text: str) -> Picture:
    """Return the picture of a figure that is on disk already."""
    from markupsafe import Markup

    return Picture(Markup(figures.to_svg(figure)), text)


def column(history: list[dict[str, Any]], key: str) -> list[float | None]:
    """Return a column of a history, None where it has no number."""
    values = [row.get(key) for row in history]
    return [float(value) if isinstance(value, int | float) else None for value in values]


def ending(values: Sequence[float | None]) -> str:
    """Return the last number of a line as text."""
    numbers = [value for value in values if value is not None]
    return f"{numbers[-1]:.4f}" if numbers else "nothing"


def percent(share: float) -> str:
    """Return a share as a percentage, which is 100.0 only where nothing is left."""
    shown = round(100 * float(share), 1)
    return f"{min(shown, 99.9) if share < 1 else shown}\N{NO-BREAK SPACE}%"


def render(template: str, **content: Any) -> str:
    """Return a page; everything it needs stands in it."""
    page = environment().get_template(template)
    text: str = page.render(version=__version__, generator=GENERATOR, **content)
    return text


def is_own_page(path: Path) -> bool:
    """Return whether the file at `path` is a page that this program wrote."""
    return begins_with_mark(path, PAGE_MARK)


def require_own_page(path: Path) -> None:
    """Raise a ForeignPathError unless `path` is new or a page that this program wrote."""
    if path.exists() and not is_own_page(path):
        raise ForeignPathError(
            path,
            f"{path} is a page that this program did not write, so it is left as it is. Move it "
            "away or rename it, then run this again.",
        )


def write_page(path: Path, page: str) -> None:
    """Write a page and say where it is; raises as `require_own_page`."""
    require_own_page(path)
    write_text(path, page)
    say(f"{path}")


@functools.cache
def environment() -> Any:
    """Return the templates: text is escaped, and a name that is missing is an error."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("kaggle_cifar.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["with_code"] = with_code
    return templates


def with_code(sentence: str) -> "Markup":
    """Return a sentence for a page, its commands between backquotes set as such."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sentence))))
