"""What all figures share: their style, and their way to a file or a page."""

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

# Okabe and Ito's colours (Color Universal Design), which colour-blind people tell apart.
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

# The variables of the report's style sheet, which has a light and a dark value for each.
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

GENERATOR = "kaggle-cifar"  # by which a picture or a page is known as this program's own
PNG_MARK = b"tEXtSoftware\0" + GENERATOR.encode()
MARKED = 200  # bytes of a file, in which its mark stands
DPI = 160
SIZE = (4.8, 3.5)  # inches: still legible where a phone shows it 330 pixels wide
SQUARE = (5.4, 5)
LONGEST_LABEL = 24  # characters
LEGEND_ROWS = 12


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return a drawing function that draws in the house's style."""

    @functools.wraps(draw)
    def draw_in_style(*arguments: Any, **options: Any) -> Any:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*arguments, **options)

    return draw_in_style


def shortened(name: str) -> str:
    """Return a name that leaves room for the figure; the middle goes, where names are alike."""
    return name if len(name) <= LONGEST_LABEL else f"{name[:14]}…{name[-9:]}"


def count_epochs(axes: "Axes") -> None:
    """Make the horizontal axis one of whole epochs, with a grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG.

    Raises
    ------
    ForeignPathError
        When a file is at `path` that this program did not draw.
    """
    if path.exists() and not begins_with_mark(path, PNG_MARK):
        raise ForeignPathError(
            path,
            f"{path} is a picture that this program did not draw, so it is left as it is. Move it "
            "away or rename it, then run this again.",
        )
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": GENERATOR})
    figure.set_layout_engine("none")  # what was laid out once stays so on a page


def begins_with_mark(path: Path, mark: bytes) -> bool:
    """Return whether the regular file at `path` has `mark` in its first bytes."""
    try:
        with regular_file(path).open("rb") as file:
            return mark in file.read(MARKED)
    except (UserError, OSError):
        return False


@styled
def to_svg(figure: "Figure") -> str:
    """Return a figure as an SVG element for a page: its colours are the style sheet's variables.

    It has no width of its own, no identifiers that two figures could share, and the page's font.
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
