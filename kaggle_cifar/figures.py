"""Every picture, drawn by one function each."""

from pathlib import Path
from typing import Any

from kaggle_cifar.storage import atomic_write

# The first two of Okabe and Ito's colours that colour-blind people tell apart.
TRAINING_COLOUR = "#0072B2"
VALIDATION_COLOUR = "#D55E00"


def draw_curves(history: list[dict[str, Any]], title: str, path: Path) -> None:
    """Write a PNG of accuracy and loss over epochs, training and validation.

    `history` has the rows of history.csv: epoch, loss, accuracy, val_loss, val_accuracy (the
    last two None without validation).
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    epochs = [row["epoch"] for row in history]
    for axes, key in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(epochs, [row[key] for row in history], color=TRAINING_COLOUR, label="training")
        if history[0][f"val_{key}"] is not None:
            values = [row[f"val_{key}"] for row in history]
            axes.plot(epochs, values, color=VALIDATION_COLOUR, label="validation")
        axes.set_xlabel("epoch")
        axes.set_ylabel(key)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
