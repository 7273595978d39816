"""The command that searches for good settings of a recipe."""

from typing import Any

import click
from click.core import ParameterSource

from kaggle_cifar.api.searches import (
    GRID_DRAW_TRIALS,
    RESUMING,
    SAMPLERS,
    TRIALS,
    SearchRequest,
    resumed_search,
    run_search,
)
from kaggle_cifar.cli.completion import complete_recipes, complete_searches
from kaggle_cifar.cli.options import (
    EPOCHS,
    LIMIT,
    PATH,
    RUN_COUNT,
    SEED,
    cluster_options,
    device_option,
    parse_duration,
    parse_recipe,
    parse_run_name,
)
from kaggle_cifar.cli.train import exit_on_interrupt
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.search.search_space import GRID_DRAW


@click.command()
@click.argument("recipe", type=parse_recipe, default="model3", shell_complete=complete_recipes)
@click.option(
    "--sampler",
    type=click.Choice(SAMPLERS),
    default=GRID_DRAW,
    show_default=True,
    help="Sampler: the student project's draw from its grid, random search, or TPE.",
)
@click.option(
    "--trials",
    type=RUN_COUNT,
    help=f"Number of trials.  [default: {GRID_DRAW_TRIALS} for {GRID_DRAW}, otherwise {TRIALS}]",
)
@click.option("--space", type=PATH, help="JSON file with a search space of your own.")
@click.option("--epochs", type=EPOCHS, help="Number of epochs of a trial that runs to its end.")
@click.option("--limit", type=LIMIT, help="Train on a stratified subset of N images.")
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the sampler and the trainings.",
)
@click.option(
    "--time-budget",
    type=parse_duration,
    metavar="DURATION",
    help="Duration such as 2h30m, after which the trials stop.",
)
@click.option(
    "--name",
    type=parse_run_name,
    metavar="NAME",
    default="search",
    show_default=True,
    shell_complete=complete_searches,
    help="Name of the search.",
)
@device_option()
@cluster_options()
@click.pass_obj
def search(project: ProjectPaths, /, **parameters: Any) -> None:
    """Search for good settings of RECIPE, by default model3.

    The sampler grid-draw draws from the student project's grid for Model 3: learning rate 0.001 or
    0.01, batch size 32 or 64, 10 or 20 epochs, Adam or RMSprop. The samplers random and tpe use the
    search space of the recipe's network or a file, and stop weak trials early (ASHA).

    Each trial is an ordinary run. The folder runs/NAME gets the results, the figures and
    best_recipe.json, which `train` takes. To resume a search, give only its name; to continue a
    finished one, give its name and more trials.

    \b
      kaggle-cifar search
      kaggle-cifar search --sampler tpe --trials 30 --epochs 20
      kaggle-cifar search airbench94 --sampler tpe --time-budget 2h --gpus 0.5
      kaggle-cifar search --name search --trials 40
    """  # noqa: D301
    request = SearchRequest(**parameters)
    source = click.get_current_context().get_parameter_source
    given = {key for key in parameters if source(key) is not ParameterSource.DEFAULT}
    resumed = resumed_search(project, request) if given <= RESUMING else None
    try:
        request, space = resumed or (request, request.search_space())
    except UserError as error:
        raise click.UsageError(str(error)) from None
    with exit_on_interrupt():
        run_search(project, request, space)
