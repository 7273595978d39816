"""The commands that train a run again or resume it."""

from typing import Any

from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import RECIPES
from kaggle_cifar.training.run_summary import RunSummary


def repeating_command(project: ProjectPaths, run: RunSummary) -> str:
    """Return the command that trains a run once more, under another name."""
    options = {**run.options, "time_budget": None}
    return train_command(project, run, f"{run.name}-again", options)


def validating_command(project: ProjectPaths, run: RunSummary) -> str:
    """Return the command that trains a run once more, with a validation set."""
    options = {**run.options, "time_budget": None, "validation": VALIDATION_SPLITS[0]}
    return train_command(project, run, f"{run.name}-validated", options)


def resuming_command(project: ProjectPaths, run: RunSummary) -> str:
    """Return the command that resumes an unfinished run."""
    if search := run.options.get("search"):
        return project.command("search", "--name", search)
    return train_command(project, run, run.name, run.options)


def train_command(
    project: ProjectPaths, run: RunSummary, name: str, options: dict[str, Any]
) -> str:
    """Return the command that trains a run's recipe as `name` with the options of a run."""
    words: list[object] = ["train", recipe_argument(run), "--name", name]
    built_in = RECIPES.get(run.recipe.get("name", ""))
    epochs = run.recipe.get("epochs")
    if budget := options.get("time_budget"):
        words += ["--time-budget", f"{budget:g}s"]
    elif built_in and epochs is not None and epochs != built_in().epochs:
        words += ["--epochs", run.planned_epochs]
    defaults = {"seed": 0, "limit": None, "validation": VALIDATION_SPLITS[0]}
    for key, default in defaults.items():
        value = options.get(key, default)
        if value != default:
            words += [f"--{key}", value]
    if options.get("mixed_precision"):
        words.append("--mixed-precision")
    return project.command(*words)


def recipe_argument(run: RunSummary) -> str:
    """Return the RECIPE argument of `train`: the recipe's name, or the run's own file."""
    name = run.recipe.get("name", "")
    return name if name in RECIPES else str(run.run.description_file)
