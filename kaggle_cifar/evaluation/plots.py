"""Figures of a run: curves, confusion matrix, precision and recall, reliability, agreement."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.figures import (
    BLUE,
    COLOURS,
    INK,
    LINE_STYLES,
    PAPER,
    RULE,
    SIZE,
    SKY,
    SQUARE,
    VERMILION,
    count_epochs,
    label_learning_rates,
    shortened,
    styled,
)

DARKEST_FOR_INK = 0.75  # shade of a cell; text on darker cells has the colour of the page

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kaggle_cifar.evaluation.calibration import Reliability


@styled
def draw_curves(history: list[dict[str, Any]], title: str) -> "Figure":
    """Return a figure of accuracy and loss over the epochs, training and validation.

    `history` has the rows of history.csv. Without validation, val_loss and val_accuracy are None.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    end = {"marker": "o", "markersize": 4, "markevery": [len(epochs) - 1]}
    for axes, key in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, [row[key] for row in history], color=BLUE, label="training", **end)
        if history[0][f"val_{key}"] is not None:
            values = [row[f"val_{key}"] for row in history]
            axes.plot(epochs, values, color=VERMILION, label="validation", **end)
        axes.set_ylabel(key)
        count_epochs(axes)
        axes.legend()
    return figure


@styled
def draw_gallery(images: "np.ndarray", captions: Sequence[str], columns: int = 8) -> "Figure":
    """Return a figure of captioned images, uint8 (n, 32, 32, 3), in rows of `columns`."""
    from matplotlib.figure import Figure

    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.3 * columns, 1.75 * rows), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells:
        axes.axis("off")
    for axes, image, caption in zip(cells, images, captions, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(caption, fontsize=8)
    return figure


@styled
def draw_lines(
    lines: Mapping[str, Sequence[float | None]], unit: str, logarithmic: bool = False
) -> "Figure":
    """Return a figure of values over epochs, a line for each label; None is a gap.

    `unit` labels the vertical axis.
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
        label_learning_rates(axes)
    axes.set_ylabel(unit)
    count_epochs(axes)
    if len(lines) > 1:
        figure.legend(fontsize="small", loc="outside upper center", ncols=2)
    return figure


@styled
def draw_confusion(counts: "np.ndarray") -> "Figure":
    """Return a figure of a confusion matrix int (10, 10), a row for each label.

    A cell's shade shows its share of the images with that label.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    # The square root makes rare mistakes visible.
    draw_cells(
        axes, np.sqrt(shares), [[f"{count}" if count else "" for count in row] for row in counts]
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    label_cells(axes, CLASS_NAMES)
    return figure


@styled
def draw_agreement(shares: "np.ndarray", names: Sequence[str]) -> "Figure":
    """Return a figure of how often each two of n runs agree, float (n, n)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    texts = [[f"{share:.3f}".lstrip("0") for share in row] for row in shares]
    # The power separates the shades of runs that agree often; the rest sets cells off the page.
    draw_cells(axes, 0.08 + 0.92 * shares**3, texts)
    label_cells(axes, names)
    return figure


def draw_cells(axes: "Axes", shades: "np.ndarray", texts: Sequence[Sequence[str]]) -> None:
    """Fill cells (rows, columns) with shades from 0 to 1 and a text each."""
    import numpy as np
    from matplotlib.patches import Rectangle

    for (row, column), shade in np.ndenumerate(shades):
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fc=BLUE, alpha=shade))
        axes.text(
            column,
            row,
            texts[row][column],
            color=PAPER if shade > DARKEST_FOR_INK else INK,
            ha="center",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(-0.5, shades.shape[1] - 0.5)
    axes.set_ylim(shades.shape[0] - 0.5, -0.5)


def label_cells(axes: "Axes", names: Sequence[str]) -> None:
    """Label the rows and columns of a square of cells, and remove its frame."""
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
    start = float(np.floor(10 * min(precision.min(), recall.min())) / 10)
    axes.set_xlim(start - 0.01, 1.01)
    axes.set_xlabel("share of images" + (f", from {start:.1f}" if start else ""))
    axes.grid(axis="x")
    figure.legend(fontsize="small", loc="outside upper center", ncols=2)
    return figure


@styled
def draw_reliability(bins: "Reliability") -> "Figure":
    """Return a figure of accuracy over confidence, and of the images in each bin."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = bins.counts > 0
    above.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1, label="perfect calibration")
    above.errorbar(
        bins.confidences[filled],
        bins.accuracies[filled],
        np.abs(bins.intervals - bins.accuracies[:, None])[filled].T,
        fmt="o-",
        color=BLUE,
        elinewidth=1,
        label="run, with 95 % intervals",
    )
    above.set_ylabel("accuracy")
    above.set_ylim(0, 1.04)
    above.grid()
    figure.legend(fontsize="small", loc="outside upper center", ncols=2)
    edges = np.linspace(0, 1, len(bins.counts) + 1)
    shares = bins.counts / bins.counts.sum()
    below.bar(edges[:-1], shares, np.diff(edges), align="edge", color=SKY)
    below.set_ylabel("share")
    below.set_xlabel("confidence")
    below.set_xlim(0, 1.01)
    return figure
