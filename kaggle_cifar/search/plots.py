"""The figures of a search: learning curves, the best so far, importances."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kaggle_cifar.figures import (
    BLUE,
    COLOURS,
    LEGEND_ROWS,
    LINE_STYLES,
    VERMILION,
    count_epochs,
    save_titled,
    styled,
)


@styled
def draw_trials(
    labels: Sequence[str], histories: Sequence[list[dict[str, Any]]], path: Path
) -> None:
    """Write a PNG of the validation accuracy of several runs over their epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    axes = figure.subplots()
    for i, (label, history) in enumerate(zip(labels, histories, strict=True)):
        axes.plot(
            [row["epoch"] for row in history],
            [row["val_accuracy"] for row in history],
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINE_STYLES[i // len(COLOURS) % len(LINE_STYLES)],
            marker="o",
            markevery=[-1],
            # A shorter trial is drawn over a longer one that began in the same way.
            zorder=3 - len(history) / 1000,
            label=label,
        )
    axes.set_ylabel("validation accuracy")
    count_epochs(axes)
    axes.legend(loc="lower right", fontsize="small", ncols=1 + len(labels) // LEGEND_ROWS)
    save_titled(figure, path)


@styled
def draw_optimisation(names: Sequence[str], accuracies: Sequence[float], path: Path) -> None:
    """Write a PNG of each trial's accuracy and of the best so far."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    numbers = range(1, len(accuracies) + 1)
    best = list(itertools.accumulate(accuracies, max))
    axes.step(numbers, best, where="post", color=BLUE, label="best so far")
    axes.plot(numbers, accuracies, "o", color=VERMILION, label="trial")
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
    save_titled(figure, path)


@styled
def draw_importances(shares: Mapping[str, float], path: Path) -> None:
    """Write a PNG of each key's importance for the accuracy; they add up to 1."""
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
    save_titled(figure, path)
