"""The command that trains a run again."""

import shlex

from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.recipes import RECIPES
from kaggle_cifar.training.run_summary import RunSummary


def training_command(run: RunSummary) -> str:
    """Return the command that trains the run again, or resumes it."""
    options = dict(run.options)
    if options.get("search"):
        limit = f" --limit {options['limit']}" if options.get("limit") else ""
        return f"kaggle-cifar search --name {shlex.quote(options['search'])}{limit}"
    words = ["kaggle-cifar", "train", recipe_argument(run), "--name", shlex.quote(run.name)]
    built_in = RECIPES.get(run.recipe.get("name", ""))
    epochs = run.recipe.get("epochs")
    if budget := options.pop("time_budget", None):
        words += ["--time-budget", f"{budget:g}s"]
    elif built_in and epochs is not None and epochs != built_in().epochs:
        words += ["--epochs", run.planned_epochs]
    if options.get("validation") == VALIDATION_SPLITS[0]:
        del options["validation"]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            words.append(option)
        elif value:
            words += [option, shlex.quote(str(value))]
    return " ".join(words)


def recipe_argument(run: RunSummary) -> str:
    """Return the RECIPE argument of `train`: the recipe's name, or the run's own file."""
    name = run.recipe.get("name", "")
    return name if name in RECIPES else shlex.quote(str(run.run.description_file))
