"""Every picture, drawn by one function each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.storage import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours (Color Universal Design), which colour-blind people tell apart.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
LINE_STYLES = ("-", "--", ":")  # for more lines than colours


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
    axes.legend(loc="lower right", fontsize="small")
    save(figure, path)


def draw_classes(images: "np.ndarray", titles: Sequence[str], path: Path) -> None:
    """Write a PNG of ten images uint8 (10, 32, 32, 3) in two rows of five, each under its title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, image, title in zip(figure.subplots(2, 5).flat, images, titles, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
    save(figure, path)


def draw_class_counts(counts: Sequence[int], path: Path) -> None:
    """Write a PNG of how many images each class has."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.bar_label(axes.bar(CLASS_NAMES, counts, color=BLUE), fmt="{:,.0f}")
    axes.set_ylabel("images")
    axes.margins(y=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


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


def count_epochs(axes: "Axes") -> None:
    """Make the horizontal axis one of whole epochs, with a grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as a PNG."""
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
