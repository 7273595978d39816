"""All that a run's folder tells, whatever is missing in it."""

import dataclasses
import shlex
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kaggle_cifar.competition import TRAIN_LABELS
from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.errors import UserError
from kaggle_cifar.evaluation.analysis import Judged
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import VIEWS, read_probabilities
from kaggle_cifar.recipes import RECIPES
from kaggle_cifar.submission.record import all_entries
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import RunSummary, read_object, read_run_summary


@dataclass
class Findings(RunSummary):
    """All that a run's folder holds; empty or None where `missing` has a sentence that says why."""

    environment: dict[str, Any] = field(default_factory=dict)
    judged: Judged | None = None  # the validation images
    test: np.ndarray | None = None  # of dtype inference.PROBABILITIES, by ascending id
    test_views: str = "plain"  # one of inference.VIEWS, in which the test images were predicted
    submissions: list[dict[str, Any]] = field(default_factory=list)


def read_run(project: ProjectPaths, run: Run) -> Findings:
    """Return what is there of a run; nothing is computed anew and nothing raised."""
    found = read_summary(project, run)
    if not run.finished:
        found.missing.append(
            f"The run is not finished: {len(found.history)} of {found.planned_epochs} "
            f"epochs are done. `{training_command(found)}` goes on with it."
        )
    found.environment = found.attempt(run.read_environment, {})
    if run.finished and not found.history:
        found.missing.append(
            f"{run.history_file} has no epochs, so there are no curves. Only training again under "
            "another --name brings them back."
        )
    if changed := changed_settings(found):
        found.missing.append(
            f"This program's {found.recipe['name']} is another than the run's, in "
            f"{', '.join(changed)}: it was trained by another version, which alone trains the same."
        )
    found.judged = found.attempt(lambda: read_judged(project, found), None)
    found.test_views = "tta" if only_in_six_views(run) else "plain"
    found.test = found.attempt(lambda: read_test(run, found.test_views), None)
    return found


def read_summary(project: ProjectPaths, run: Run) -> Findings:
    """Return what the small files tell of a run: enough for a line about it."""
    found = Findings(**vars(read_run_summary(run)))
    entries, problems = all_entries(project.submissions)
    found.submissions = [entry for entry in entries if run.name in entry.get("runs", [])]
    found.missing += problems
    return found


def read_judged(project: ProjectPaths, found: Findings) -> Judged | None:
    """Return the validation images with labels and probabilities; None for an unfinished run.

    Raises
    ------
    UserError
        When there are none, or the labels are missing or no longer those of the training.
    """
    file = found.run.probabilities_file("validation", "plain")
    if not found.run.finished:
        return None
    if found.options.get("validation") == "none":
        raise UserError(
            "The run was trained on all images, so nothing measures how good it is but Kaggle. "
            f"`kaggle-cifar train {recipe_argument(found)} --name {found.name}-validated` trains "
            "the same with a fifth held back."
        )
    if not file.exists():
        raise UserError(
            f"{file} is missing: without it nothing is known of single validation images. Train "
            "the run again under another --name to get it."
        )
    rows = np.sort(read_probabilities(file), order="id")
    labels = labels_of(project, rows["id"])
    judged = Judged(rows["id"], labels, rows["probabilities"])
    known = found.metrics.get("validation_accuracy")
    if not len(judged) or (isinstance(known, float) and abs(judged.accuracy - known) > 1e-6):
        raise UserError(
            f"{file} and {project.raw / TRAIN_LABELS} do not give the accuracy in "
            f"{found.run.metrics_file}: the labels or the probabilities have changed since the "
            "training. Restore them, or name the right folder by --data-dir."
        )
    return judged


def only_in_six_views(run: Run) -> bool:
    """Return whether the test images were predicted with --tta and not without."""
    plain, six = (run.probabilities_file("test", views) for views in VIEWS)
    return six.exists() and not plain.exists()


def read_test(run: Run, views: str) -> np.ndarray | None:
    """Return the test images' ids and probabilities by ascending id; None for an unfinished run.

    Raises
    ------
    UserError
        When there are none, or those of other weights.
    """
    file = run.probabilities_file("test", views)
    if not run.finished:
        return None
    again = f"`kaggle-cifar predict {run.name}` makes it."
    if not file.exists():
        raise UserError(f"{file} is missing: the test images are not predicted. {again}")
    key = file.with_suffix(".json")
    weights = read_object(key).get("weights_sha256") if key.exists() else None
    if weights and run.weights_file.exists() and weights != run.weights_sha256():
        raise UserError(f"{file} was predicted by weights that are no longer there. {again}")
    return np.sort(read_probabilities(file), order="id")


# -- how to make it again


def training_command(found: Findings) -> str:
    """Return the command that trains the run again, or goes on with it."""
    options = dict(found.options)
    if options.get("search"):
        limit = f" --limit {options['limit']}" if options.get("limit") else ""
        return f"kaggle-cifar search --name {shlex.quote(options['search'])}{limit}"
    words = ["kaggle-cifar", "train", recipe_argument(found), "--name", shlex.quote(found.name)]
    built_in = RECIPES.get(found.recipe.get("name", ""))
    epochs = found.recipe.get("epochs")
    if budget := options.pop("time_budget", None):
        words += ["--time-budget", f"{budget:g}s"]
    elif built_in and epochs is not None and epochs != built_in().epochs:
        words += ["--epochs", found.planned_epochs]
    if options.get("validation") == VALIDATION_SPLITS[0]:
        del options["validation"]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        words += [option] if value is True else [option, shlex.quote(str(value))] if value else []
    return " ".join(words)


def changed_settings(found: Findings) -> list[str]:
    """Return the settings in which this program's recipe of the name is no longer the run's."""
    built_in = RECIPES.get(found.recipe.get("name", ""))
    if not built_in:
        return []
    today = dataclasses.asdict(built_in())
    return [
        key
        for key, value in found.recipe.items()
        if key != "epochs" and (key not in today or today[key] != value)
    ]


def recipe_argument(found: Findings) -> str:
    """Return what `train` takes for the run's recipe: its name, or the run's own file."""
    name = found.recipe.get("name", "")
    return name if name in RECIPES else shlex.quote(str(found.run.description_file))


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted keys, as text."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = as_text(value)
    return flat


def as_text(value: Any) -> str:
    """Return a JSON value for a table."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(as_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
