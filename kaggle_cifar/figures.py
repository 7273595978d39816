"""Every picture, drawn by one function each."""

import functools
import hashlib
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError, regular_file
from kaggle_cifar.storage import atomic_write

if TYPE_CHECKING:
    import numpy as np
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
GALLERY_COLUMNS = 8
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


# -- how a training went


@styled
def draw_curves(history: list[dict[str, Any]], title: str, path: Path) -> None:
    """Write a PNG of accuracy and loss over epochs, training and validation.

    `history` has the rows of history.csv: epoch, loss, accuracy, val_loss, val_accuracy (the
    last two None without validation).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    for axes, key in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, [row[key] for row in history], color=BLUE, label="training")
        if history[0][f"val_{key}"] is not None:
            values = [row[f"val_{key}"] for row in history]
            axes.plot(epochs, values, color=VERMILION, label="validation")
        axes.set_ylabel(key)
        count_epochs(axes)
        axes.legend()
    save(figure, path)


@styled
def draw_lines(
    lines: Mapping[str, Sequence[float | None]], unit: str, logarithmic: bool = False
) -> "Figure":
    """Return a figure of values over epochs, a line for each label; None is a gap.

    `unit` is what the vertical axis counts.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    for i, (label, values) in enumerate(lines.items()):
        axes.plot(
            range(1, len(values) + 1),
            [float("nan") if value is None else value for value in values],
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINE_STYLES[i // len(COLOURS) % len(LINE_STYLES)],
            marker="o",
            markersize=4,
            markevery=[len(values) - 1],
            label=shortened(label),
        )
    if logarithmic:
        from matplotlib.ticker import LogFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())  # plain text, which the page's font writes
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set_ylabel(unit)
    count_epochs(axes)
    if len(lines) > 1:
        axes.legend(fontsize="small")
    return figure


@styled
def draw_trials(histories: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Write a PNG of the validation accuracy over epochs of several runs, by their labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    for i, (label, history) in enumerate(histories.items()):
        axes.plot(
            [row["epoch"] for row in history],
            [row["val_accuracy"] for row in history],
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINE_STYLES[i // len(COLOURS) % len(LINE_STYLES)],
            marker="o",
            markevery=[-1],
            # A trial that is the beginning of a longer one lies over it, not hidden under it.
            zorder=3 - len(history) / 1000,
            label=label,
        )
    axes.set_ylabel("validation accuracy")
    count_epochs(axes)
    axes.legend(loc="lower right", fontsize="small", ncols=1 + len(histories) // LEGEND_ROWS)
    save(figure, path)


@styled
def draw_optimisation(names: Sequence[str], accuracies: Sequence[float], path: Path) -> None:
    """Write a PNG of each trial's accuracy and of the best up to it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    numbers = range(1, len(accuracies) + 1)
    best = list(itertools.accumulate(accuracies, max))
    axes.step(numbers, best, where="post", color=BLUE, label="the best so far")
    axes.plot(numbers, accuracies, "o", color=VERMILION, label="a trial")
    first = accuracies.index(best[-1])
    axes.annotate(
        f"{names[first]}: {best[-1]:.4f}",
        (first + 1, best[-1]),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
    )
    axes.margins(y=0.12)
    axes.set_xlabel("trial")
    axes.set_ylabel("validation accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper right", ncols=2)
    save(figure, path)


@styled
def draw_importances(shares: Mapping[str, float], path: Path) -> None:
    """Write a PNG of how much each key matters for the accuracy, its share of 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.4 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names, values = list(shares), list(shares.values())
    labels = [name.rpartition(".")[2].replace("_", " ") for name in names]
    bars = axes.barh(labels, values, color=BLUE)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("importance for the validation accuracy (PED-ANOVA)")
    save(figure, path)


# -- where a network is right and wrong


@styled
def draw_confusion(counts: "np.ndarray") -> "Figure":
    """Return a figure of the confusion matrix int (10, 10), true classes down.

    A cell's colour is its share of the true class's images.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    # The root shows the rare mistakes, too.
    draw_cells(
        axes, np.sqrt(shares), [[f"{count}" if count else "" for count in row] for row in counts]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    label_cells(axes, CLASS_NAMES)
    return figure


@styled
def draw_agreement(shares: "np.ndarray", names: Sequence[str]) -> "Figure":
    """Return a figure of how often each two of n runs agree, float (n, n)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    # From 0.5 on: two runs that agree on half of the images have next to nothing in common.
    texts = [[f"{share:.3f}".lstrip("0") for share in row] for row in shares]
    draw_cells(axes, (shares - 0.5).clip(0) * 2, texts)
    label_cells(axes, names)
    return figure


def draw_cells(axes: "Axes", shades: "np.ndarray", texts: Sequence[Sequence[str]]) -> None:
    """Fill cells (rows, columns) with shades of 0 to 1 and a text each."""
    import numpy as np
    from matplotlib.patches import Rectangle

    for (row, column), shade in np.ndenumerate(shades):
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fc=BLUE, alpha=shade))
        axes.text(
            column,
            row,
            texts[row][column],
            color=PAPER if shade > 0.5 else INK,
            ha="center",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(-0.5, shades.shape[1] - 0.5)
    axes.set_ylim(shades.shape[0] - 0.5, -0.5)


def label_cells(axes: "Axes", names: Sequence[str]) -> None:
    """Name the rows and columns of a square of cells, and take its frame away."""
    names = [shortened(name) for name in names]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)


@styled
def draw_precision_recall(precision: "np.ndarray", recall: "np.ndarray") -> "Figure":
    """Return a figure of the precision and recall of each class, float (10,)."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(CLASS_NAMES))
    axes.hlines(rows, precision, recall, color=RULE, linewidth=3, zorder=1)
    axes.scatter(precision, rows, color=BLUE, label="precision", zorder=2)
    axes.scatter(recall, rows, color=VERMILION, marker="D", s=28, label="recall", zorder=2)
    axes.set_yticks(rows, CLASS_NAMES)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2)
    return figure


@styled
def draw_reliability(
    confidences: "np.ndarray",
    accuracies: "np.ndarray",
    intervals: "np.ndarray",
    counts: "np.ndarray",
) -> "Figure":
    """Return a figure of accuracy over confidence.

    For each of n bins of equal width: the mean confidence, the accuracy, between which two values
    (n, 2) the accuracy may lie, and the number of images.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = counts > 0
    above.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1, label="as sure as right")
    above.errorbar(
        confidences[filled],
        accuracies[filled],
        np.abs(intervals - accuracies[:, None])[filled].T,
        fmt="o-",
        color=BLUE,
        elinewidth=1,
        label="this run, with 95 % intervals",
    )
    above.set_ylabel("accuracy")
    above.set_ylim(0, 1.02)
    above.grid()
    above.legend(fontsize="small", loc="upper left")
    edges = np.linspace(0, 1, len(counts) + 1)
    below.bar(edges[:-1], counts / counts.sum(), np.diff(edges), align="edge", color=SKY)
    below.set_ylabel("share")
    below.set_xlabel("confidence")
    below.set_xlim(0, 1.01)
    return figure


@styled
def draw_gallery(images: Sequence["np.ndarray | None"], captions: Sequence[str]) -> "Figure":
    """Return a figure of images uint8 (32, 32, 3), eight a row, over captions; None is grey."""
    from matplotlib.figure import Figure

    rows = -(-len(images) // GALLERY_COLUMNS)
    figure = Figure(figsize=(10, 1.72 * rows + 0.1))
    axes = figure.add_axes((0.01, 0, 0.98, 1))
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = i % GALLERY_COLUMNS, i // GALLERY_COLUMNS * 1.38
        extent = (x + 0.03, x + 0.97, y + 0.97, y + 0.03)
        if image is None:
            axes.fill_between(extent[:2], *extent[2:], color=RULE)
        else:
            axes.imshow(image, extent=extent, interpolation="nearest")
        axes.text(x + 0.5, y + 1, caption, ha="center", va="top", fontsize=7)
    axes.set(xlim=(0, GALLERY_COLUMNS), ylim=(rows * 1.38, 0), aspect="equal")
    axes.axis("off")
    return figure


# -- the data


@styled
def draw_classes(images: "np.ndarray", titles: Sequence[str], path: Path) -> None:
    """Write a PNG of ten images uint8 (10, 32, 32, 3) in two rows of five, each under its title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, image, title in zip(figure.subplots(2, 5).flat, images, titles, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
    save(figure, path)


@styled
def draw_class_counts(counts: Sequence[int]) -> "Figure":
    """Return a figure of how many images each class has."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.bar_label(axes.barh(CLASS_NAMES, counts, color=BLUE), fmt="{:,.0f}", fontsize=8, padding=3)
    axes.set_xlabel("images")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.14)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    return figure


# -- two runs


@styled
def draw_comparison(
    histories: Sequence[list[dict[str, Any]]],
    titles: Sequence[str],
    accuracies: Sequence[tuple[float, float]],
    path: Path,
) -> None:
    """Write a PNG of two runs beside each other with a table of their accuracies.

    `histories` are as for `draw_curves`; `accuracies` are those on the training and on the
    validation images.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.4), layout="constrained")
    panels = figure.subplot_mosaic([["left", "right"], ["table", "table"]], height_ratios=(4, 1))
    panels["right"].sharey(panels["left"])
    pair = (panels["left"], panels["right"])
    for axes, history, title in zip(pair, histories, titles, strict=True):
        epochs = [row["epoch"] for row in history]
        axes.plot(epochs, [row["accuracy"] for row in history], color=BLUE, label="training")
        axes.plot(
            epochs, [row["val_accuracy"] for row in history], color=VERMILION, label="validation"
        )
        axes.set_title(title)
        count_epochs(axes)
        axes.legend(loc="lower right")
    panels["left"].set_ylabel("accuracy")
    panels["table"].axis("off")
    panels["table"].table(
        [[f"{training:.4f}", f"{validation:.4f}"] for training, validation in accuracies],
        rowLabels=list(titles),
        colLabels=["training accuracy", "validation accuracy"],
        colWidths=[0.25, 0.25],
        cellLoc="center",
        loc="center",
    ).scale(1, 1.4)
    save(figure, path)


def shortened(name: str) -> str:
    """Return a name that leaves room for the figure; the middle goes, where names are alike."""
    return name if len(name) <= LONGEST_LABEL else f"{name[:14]}…{name[-9:]}"


def count_epochs(axes: "Axes") -> None:
    """Make the horizontal axis one of whole epochs, with a grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()


# -- on disk and on a page


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
