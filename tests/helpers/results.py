"""The results of a run, for comparison with another run."""

from typing import Any

from kaggle_cifar.training.run import Run


def result_of(run: Run) -> tuple[Any, ...]:
    """Return the history and metrics without seconds, all probabilities and weights."""
    history = [{**row, "seconds": None} for row in run.read_history()]
    metrics = {**run.read_metrics(), "seconds": None}
    files = [run.probabilities_file("validation", views) for views in ("plain", "tta")]
    weights = [weight.tobytes() for weight in run.load_model().get_weights()]
    return history, metrics, [file.read_bytes() for file in files], weights
