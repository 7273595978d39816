"""Figures of a run: its curves, and where it is right and wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.figures import (
    BLUE,
    COLOURS,
    GALLERY_COLUMNS,
    INK,
    LINE_STYLES,
    PAPER,
    RULE,
    SIZE,
    SKY,
    SQUARE,
    VERMILION,
    count_epochs,
    save,
    shortened,
    styled,
)

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
