"""The command that trains a run again."""

from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import RECIPES
from kaggle_cifar.training.run_summary import RunSummary


def training_command(project: ProjectPaths, run: RunSummary) -> str:
    """Return the command that trains the run again, or resumes it."""
    options = dict(run.options)
    if options.get("search"):
        limit = ["--limit", options["limit"]] if options.get("limit") else []
        return project.command("search", "--name", options["search"], *limit)
    words = ["train", recipe_argument(run), "--name", run.name]
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
            words += [option, value]
    return project.command(*words)


def recipe_argument(run: RunSummary) -> str:
    """Return the RECIPE argument of `train`: the recipe's name, or the run's own file."""
    name = run.recipe.get("name", "")
    return name if name in RECIPES else str(run.run.description_file)
