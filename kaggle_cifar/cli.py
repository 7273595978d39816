"""The commands: thin, and heavy imports only inside a command."""

import sys
from pathlib import Path
from typing import Any

import click

from kaggle_cifar import __version__, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.runs import VALIDATION_SPLITS, RunOptions
from kaggle_cifar.storage import Layout


class RecipeName(click.ParamType):
    """The name of a recipe, given to the command as the recipe."""

    name = "recipe"

    def convert(self, value: Any, param: Any, ctx: Any) -> Recipe:
        """Return the recipe, or end with a usage error that lists those there are."""
        if isinstance(value, Recipe):
            return value
        try:
            return recipes.find_recipe(value)
        except UserError as error:
            self.fail(str(error), param, ctx)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "KAGGLE_CIFAR"}
)
@click.version_option(__version__)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default="data",
    show_default=True,
    show_envvar=True,
)
@click.option(
    "--runs-dir",
    type=click.Path(path_type=Path),
    default="runs",
    show_default=True,
    show_envvar=True,
)
@click.option(
    "--submissions-dir",
    type=click.Path(path_type=Path),
    default="submissions",
    show_default=True,
    show_envvar=True,
)
@click.pass_context
def cli(context: click.Context, data_dir: Path, runs_dir: Path, submissions_dir: Path) -> None:
    """From nothing to a scored submission in Kaggle's CIFAR-10 competition."""
    context.obj = Layout(data_dir, runs_dir, submissions_dir)


@cli.command()
@click.argument("recipe", type=RecipeName(), default=recipes.DEFAULT)
@click.option("--name")
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--limit", type=click.IntRange(min=1))
@click.option("--seed", type=click.IntRange(min=0))
@click.option(
    "--validation", type=click.Choice(VALIDATION_SPLITS), default="last20", show_default=True
)
@click.option("--mixed-precision", is_flag=True)
@click.pass_obj
def train(
    layout: Layout,
    recipe: Recipe,
    name: str | None,
    epochs: int | None,
    limit: int | None,
    seed: int | None,
    validation: str,
    mixed_precision: bool,
) -> None:
    """Train a recipe."""
    import dataclasses

    from kaggle_cifar import training

    if epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=epochs)
    options = RunOptions(seed or 0, limit, validation, mixed_precision)
    default_name = recipe.name if seed is None else f"{recipe.name}-seed{seed}"
    try:
        training.train(layout, recipe, name or default_name, options)
    except training.Interrupted as stop:
        sys.exit(128 + stop.signal_number)


def main() -> None:
    """Run the command line; a user's error is a sentence and status 1."""
    try:
        cli()
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
