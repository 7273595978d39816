"""Shell completion of recipes, runs and searches, by click's machinery.

A shell asks at each press of the Tab key, so nothing here imports a heavy package.
"""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from kaggle_cifar import recipes


def complete_recipes(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the recipes that begin with `incomplete`, or else have the shell complete files."""
    found = [CompletionItem(name) for name in recipes.RECIPES if name.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


def complete_runs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the runs that begin with `incomplete`, without those on the command line."""
    given = context.params.get(str(parameter.name)) or ()
    names = folders_with(context, "run.json", incomplete)
    return [CompletionItem(name) for name in names if name not in given]


def complete_searches(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the searches that begin with `incomplete`."""
    return [CompletionItem(name) for name in folders_with(context, "search.json", incomplete)]


def folders_with(context: click.Context, file: str, prefix: str) -> list[str]:
    """Return the folders of `--runs-dir` that hold a file and begin with a prefix."""
    runs = Path(context.find_root().params["runs_dir"]).expanduser()  # the shell has not
    names = sorted(path.parent.name for path in runs.glob(f"*/{file}"))
    return [name for name in names if name.startswith(prefix)]
