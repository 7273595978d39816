"""The style of all figures, and their output as PNG and SVG."""

import functools
import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import atomic_write
from kaggle_cifar.ownership import ForeignPathError, regular_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

# Okabe and Ito's colours, which colour-blind people can distinguish.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
)
INK, RULE, PAPER = "#1f2328", "#d0d7de", "#ffffff"  # text and axes, grid, background
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
LINE_STYLES = ("-", "--", ":")  # for more lines than colours

# The variables of the report's style sheet, each with a light and a dark value.
CSS_VARIABLES = {
    BLUE: "--blue",
    VERMILION: "--vermilion",
    GREEN: "--green",
    PURPLE: "--purple",
    ORANGE: "--orange",
    SKY: "--sky",
    INK: "--ink",
    RULE: "--rule",
    PAPER: "--paper",
}

STYLE: dict[Any, Any] = {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",  # the page's font, which scales and can be searched
    "svg.hashsalt": "kaggle-cifar",  # the same figure is the same file
}

GENERATOR = "kaggle-cifar"  # marks the files that this program wrote
PNG_MARK = b"tEXtSoftware\0" + GENERATOR.encode()
MARKED = 200  # bytes at the start of a file that contain the mark
DPI = 160
SIZE = (4.8, 3.5)  # inches; legible 330 pixels wide, on a phone
SQUARE = (5.4, 5)
LONGEST_LABEL = 24  # characters
LEGEND_ROWS = 12
TITLE_HEIGHT = 0.35  # inches
CHARACTER_WIDTH = 0.65  # of the font size, on average


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that draws a figure, to use the project's style."""

    @functools.wraps(draw)
    def draw_in_style(*arguments: Any, **options: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return draw_in_style


def shortened(name: str) -> str:
    """Return a name of limited length; similar names differ at their start or end."""
    return name if len(name) <= LONGEST_LABEL else f"{name[:14]}…{name[-9:]}"


def count_epochs(axes: "Axes") -> None:
    """Label the horizontal axis with whole epochs, and add a grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid()


def label_learning_rates(axes: "Axes") -> None:
    """Make the vertical axis logarithmic, with plain numbers such as 0.02."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: "Figure", path: Path, title: str = "") -> None:
    """Write a figure as a PNG, with a title in a strip above it.

    Raises
    ------
    ForeignPathError
        If there is a file at `path` that this program did not draw.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if path.exists() and not begins_with_mark(path, PNG_MARK):
        raise ForeignPathError(
            path,
            f"Cannot write {path}: the file there was not drawn by this program. Move or rename "
            "it, then run this again.",
        )
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": GENERATOR})
    figure.set_layout_engine("none")  # keeps this layout for the page
    with atomic_write(path) as partial:
        if not title:
            partial.write_bytes(drawn.getvalue())
            return
        mark = PngInfo()
        mark.add_text("Software", GENERATOR)
        add_title(Image.open(drawn), title).save(partial, "PNG", pnginfo=mark)


def save_titled(figure: "Figure", path: Path) -> None:
    """Write the figure at NAME/figures/*.png under the title NAME; raises as `save`."""
    save(figure, path, title=path.parent.parent.name)


def add_title(image: "Image.Image", title: str) -> "Image.Image":
    """Return an image with a title in a strip above it, in a size that fits its width."""
    from matplotlib.font_manager import findfont
    from PIL import Image, ImageDraw, ImageFont

    strip = int(TITLE_HEIGHT * DPI)
    size = min(0.42 * strip, image.width / (CHARACTER_WIDTH * max(len(title), 1)))
    taller = Image.new("RGB", (image.width, image.height + strip), PAPER)
    taller.paste(image, (0, strip))
    font = ImageFont.truetype(findfont("DejaVu Sans"), size)
    middle = (image.width / 2, strip / 2)
    ImageDraw.Draw(taller).text(middle, title, INK, font, anchor="mm")
    return taller


def begins_with_mark(path: Path, mark: bytes) -> bool:
    """Return whether the regular file at `path` has `mark` in its first bytes."""
    try:
        with regular_file(path).open("rb") as file:
            return mark in file.read(MARKED)
    except (UserError, OSError):
        return False


@styled
def to_svg(figure: "Figure") -> str:
    """Return a figure as an SVG element whose colours are variables of the page's style sheet.

    The element has no fixed size, uses the page's font, and has unique identifiers.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"|(<g) id="[^"]*"', r"\1\2", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    for colour, variable in CSS_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
