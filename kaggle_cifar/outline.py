"""What the small files of a run's folder tell, whatever version wrote them or is damaged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import DamagedFileError
from kaggle_cifar.runs import Run
from kaggle_cifar.storage import read_json

T = TypeVar("T")


@dataclass
class Outline:
    """A run in short; `missing` has a sentence for each file that is missing or damaged."""

    run: Run
    recipe: dict[str, Any] = field(default_factory=dict)  # as written, by whatever version
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
        """The recipe's name, where it can be read."""
        return str(self.recipe.get("name", "unreadable"))

    @property
    def planned_epochs(self) -> str:
        """How many epochs the recipe has at most, as text."""
        epochs = self.recipe.get("epochs")
        return "an unknown number of" if epochs is None else f"{epochs:g}"

    @property
    def epochs(self) -> int:
        """How many epochs are done."""
        return len(self.history) or int(self.metrics.get("epochs", 0))

    @property
    def progress(self) -> str:
        """How many epochs are done, and of how many where the run is not finished."""
        if self.run.finished:
            return str(self.epochs)
        return f"{self.epochs} of {self.planned_epochs}, unfinished"

    @property
    def seconds(self) -> float:
        """The seconds of training, those so far where it is not finished."""
        so_far = sum(row.get("seconds") or 0 for row in self.history)
        return float(self.metrics.get("seconds", so_far))

    def attempt(self, read: Callable[[], T], default: T) -> T:
        """Return what `read` returns, or what is readable of a damaged file, noting its fault."""
        try:
            return read()
        except DamagedFileError as error:
            self.missing.append(str(error))
            readable: T = error.readable
            return readable
        except UserError as error:
            self.missing.append(str(error))
        except OSError as error:
            self.missing.append(f"{error.filename} could not be read: {error.strerror}.")
        return default


def read_outline(run: Run) -> Outline:
    """Return what is there of a run; nothing is raised."""
    found = Outline(run)
    nothing: dict[str, Any] = {}
    description = found.attempt(run.read_description, nothing)
    found.recipe = description.get("recipe", {})
    found.options = description.get("options", {})
    found.history = found.attempt(run.read_history, [])
    if run.finished:
        found.metrics = found.attempt(run.read_metrics, {})
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises
    ------
    UserError
        When the file is missing, torn or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} does not hold an object but {str(content)[:40]!r}.")
    return content


def has_validation(metrics: dict[str, Any]) -> bool:
    """Return whether the figures of a run hold a validation accuracy."""
    return bool(metrics.get("validation_images")) and "validation_accuracy" in metrics
