"""A run in short, read from its small files even if some are damaged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kaggle_cifar.console import counted
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import DamagedFileError
from kaggle_cifar.training.run import Run

T = TypeVar("T")


@dataclass
class RunSummary:
    """A run in short; `missing` lists its missing or damaged files."""

    run: Run
    recipe: dict[str, Any] = field(default_factory=dict)  # may have unknown keys
    options: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def recipe_name(self) -> str:
        """The recipe's name, or "unreadable"."""
        return str(self.recipe.get("name", "unreadable"))

    @property
    def planned_epochs(self) -> str:
        """The recipe's number of epochs, as text."""
        epochs = self.recipe.get("epochs")
        return "an unknown number" if epochs is None else f"{epochs:g}"

    @property
    def planned(self) -> str:
        """The recipe's number of epochs with its noun."""
        epochs = self.recipe.get("epochs")
        return "an unknown number of epochs" if epochs is None else counted(epochs, "epoch")

    @property
    def epochs(self) -> int:
        """The number of epochs done."""
        return len(self.history) or int(self.metrics.get("epochs", 0))

    @property
    def progress(self) -> str:
        """The number of epochs done, and planned if the run is unfinished."""
        if self.run.has_result:
            return str(self.epochs)
        return f"{self.epochs} of {self.planned_epochs}, unfinished"

    @property
    def seconds(self) -> float:
        """The seconds of training so far."""
        so_far = sum(row.get("seconds") or 0 for row in self.history)
        return float(self.metrics.get("seconds", so_far))

    def attempt(self, read: Callable[[], T], default: T) -> T:
        """Return what `read` returns, or what is readable; record the fault."""
        try:
            return read()
        except DamagedFileError as error:
            self.missing.append(error.message)
            readable: T = error.readable
            return readable
        except UserError as error:
            self.missing.append(error.message)
        except OSError as error:
            self.missing.append(f"{error.filename} could not be read: {error.strerror}.")
        return default


def read_run_summary(run: Run) -> RunSummary:
    """Return what can be read of a run; raises nothing."""
    summary = RunSummary(run)
    nothing: dict[str, Any] = {}
    description = summary.attempt(run.read_description, nothing)
    summary.recipe = description.get("recipe", {})
    summary.options = description.get("options", {})
    summary.history = summary.attempt(run.read_history, [])
    if run.has_result:
        summary.metrics = summary.attempt(run.read_metrics, {})
    return summary


def has_validation(metrics: dict[str, Any]) -> bool:
    """Return whether the metrics of a run have a validation accuracy."""
    return bool(metrics.get("validation_images")) and "validation_accuracy" in metrics
