"""What a training prints: a bar for each epoch, then a line about it."""

from typing import Any

import numpy as np
from tqdm import tqdm

from kaggle_cifar.console import duration, progress_bar


def epoch_bar(epoch: int, epochs: float, images: int, images_seen: int) -> "tqdm[Any]":
    """Return the bar of a zero-based epoch, which vanishes at its end."""
    bar = progress_bar(f"Epoch {epoch + 1}/{np.ceil(epochs):.0f}", images, "images", images_seen)
    bar.leave = False
    return bar


def show_totals(bar: "tqdm[Any]", totals: np.ndarray, images_seen: int) -> None:
    """Show the totals of an epoch so far: loss, correct predictions, images trained on."""
    loss, correct, count = totals
    bar.set_postfix(loss=f"{loss / count:.4f}", accuracy=f"{correct / count:.4f}", refresh=False)
    bar.update(images_seen - bar.n)


def format_epoch(row: dict[str, Any], epochs: float) -> str:
    """Return the line about an epoch."""
    last = f"{np.ceil(epochs):.0f}"
    validation = ""
    if row["val_loss"] is not None:
        validation = f"  val_loss {row['val_loss']:.4f}  val_accuracy {row['val_accuracy']:.4f}"
    return (
        f"Epoch {row['epoch']:>{len(last)}}/{last}  loss {row['loss']:.4f}  "
        f"accuracy {row['accuracy']:.4f}{validation}  learning_rate {row['learning_rate']:.2e}  "
        f"{duration(row['seconds'])}"
    )
