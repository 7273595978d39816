"""The figures of runs, drawn again at any time, and of two runs beside each other."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from kaggle_cifar.errors import UserError
from kaggle_cifar.figures import draw_comparison, draw_curves
from kaggle_cifar.ledger import table
from kaggle_cifar.progress import say
from kaggle_cifar.runs import Run
from kaggle_cifar.storage import Layout


def report(layout: Layout, runs: Sequence[Run]) -> None:
    """Draw each run's curves, and each pair of neighbours beside each other with a table.

    Raises
    ------
    UserError
        When a run has no epoch yet, or one of a pair is unfinished or had no validation.
    """
    for run in runs:
        history = run.read_history()
        if not history:
            raise UserError(f"{run.name} has no whole epoch yet: there is nothing to draw.")
        path = run.folder / "figures" / "curves.png"
        draw_curves(history, run.name, path)
        say(f"{path}")
    for pair in itertools.pairwise(runs):
        compare(pair, layout.runs / f"{pair[0].name}-and-{pair[1].name}.png")


def compare(pair: Sequence[Run], path: Path) -> None:
    """Draw two runs beside each other, and print the table of their accuracies."""
    names = [run.name for run in pair]
    accuracies = [accuracies_of(run) for run in pair]
    draw_comparison([run.read_history() for run in pair], names, accuracies, path)
    say(f"{path}")
    rows = [
        (name, f"{training:.4f}", f"{validation:.4f}")
        for name, (training, validation) in zip(names, accuracies, strict=True)
    ]
    say(table(("run", "training accuracy", "validation accuracy"), rows))


def accuracies_of(run: Run) -> tuple[float, float]:
    """Return the accuracy of the kept weights on the training and the validation images."""
    if not run.finished:
        raise UserError(f"{run.name} is not finished: it cannot be compared yet.")
    metrics = run.read_metrics()
    if "validation_accuracy" not in metrics:
        raise UserError(f"{run.name} was trained on all images: there is no accuracy to compare.")
    return metrics["train_accuracy"], metrics["validation_accuracy"]
