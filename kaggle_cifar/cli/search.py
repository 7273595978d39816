"""The command that searches for good settings of a recipe."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kaggle_cifar.cli.options import (
    EPOCHS,
    LIMIT,
    PATH,
    RUN_COUNT,
    SEED,
    cluster_options,
    parse_duration,
    parse_recipe,
)
from kaggle_cifar.cli.train import exit_on_interrupt
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.options import RunOptions

if TYPE_CHECKING:
    from kaggle_cifar.search.search_space import Draw, Space

GRID_DRAW = "grid-draw"
GRID_DRAW_TRIALS = 5  # as in the student project
TRIALS = 16


@dataclass(frozen=True)
class SearchRequest:
    """A request to `search`, with a field for each parameter of the command."""

    recipe: Recipe
    sampler: str
    trials: int | None
    space: Path | None
    epochs: int | None
    limit: int | None
    seed: int
    time_budget: float | None
    name: str
    address: str | None
    cpus: int | None
    gpus: float | None

    @property
    def trial_count(self) -> int:
        """The number of trials, or the sampler's default."""
        return self.trials or (GRID_DRAW_TRIALS if self.sampler == GRID_DRAW else TRIALS)

    def search_space(self) -> "Space | Draw":
        """Return the search space, or raise a UsageError if the sampler has none such."""
        return self._grid_draw() if self.sampler == GRID_DRAW else self._declared_space()

    def _grid_draw(self) -> "Draw":
        from kaggle_cifar.search.search_space import GRID_SIZE, Draw

        if self.recipe.name != "model3" or self.space:
            raise click.UsageError(
                f"--sampler {GRID_DRAW} draws from the student project's grid for model3. Use "
                "--sampler random or tpe for another recipe or space."
            )
        if self.time_budget:
            raise click.UsageError("--time-budget requires --sampler random or tpe.")
        if self.trial_count > GRID_SIZE:
            raise click.UsageError(f"The grid has {GRID_SIZE} settings, not {self.trial_count}.")
        return Draw(self.trial_count, self.epochs)

    def _declared_space(self) -> "Space":
        from kaggle_cifar.search.search_space import declared_space

        epochs = self.epochs or self.recipe.epochs
        space = declared_space(dataclasses.replace(self.recipe, epochs=epochs), self.space)
        if self.epochs and "epochs" in space.content:
            raise click.UsageError(f"--epochs cannot be used with {self.space}: both set epochs.")
        return space


@click.command()
@click.argument("recipe", type=parse_recipe, default="model3")
@click.option(
    "--sampler",
    type=click.Choice([GRID_DRAW, "random", "tpe"]),
    default=GRID_DRAW,
    show_default=True,
    help="Sampler: the student project's draw from its grid, random search, or TPE.",
)
@click.option(
    "--trials",
    type=RUN_COUNT,
    metavar="N",
    help=f"Number of trials.  [default: {GRID_DRAW_TRIALS} for {GRID_DRAW}, otherwise {TRIALS}]",
)
@click.option("--space", type=PATH, help="JSON file with a search space of your own.")
@click.option(
    "--epochs", type=EPOCHS, metavar="N", help="Number of epochs of a trial that runs to its end."
)
@click.option("--limit", type=LIMIT, metavar="N", help="Train on a stratified subset of N images.")
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
@click.option("--name", default="search", show_default=True, help="Name of the search.")
@cluster_options()
@click.pass_obj
def search(project: ProjectPaths, /, **parameters: Any) -> None:
    """Search for good settings of RECIPE, by default model3.

    The sampler grid-draw draws from the student project's grid for Model 3: learning rate 0.001 or
    0.01, batch size 32 or 64, 10 or 20 epochs, Adam or RMSprop. The samplers random and tpe use the
    search space of the recipe's network or a file, and stop weak trials early (ASHA).

    Each trial is an ordinary run. The folder runs/NAME gets the results, the figures and
    best_recipe.json, which `train` takes. Run the same command to resume a search.

    \b
      kaggle-cifar search
      kaggle-cifar search --sampler tpe --trials 30 --epochs 20
      kaggle-cifar search airbench94 --sampler tpe --time-budget 2h --gpus 0.5
    """  # noqa: D301
    from kaggle_cifar.search.cluster import Cluster
    from kaggle_cifar.search.search import search

    request = SearchRequest(**parameters)
    with exit_on_interrupt():
        search(
            project,
            request.name,
            request.search_space(),
            request.sampler,
            request.trial_count,
            RunOptions(seed=request.seed, limit=request.limit),
            Cluster(request.address, request.cpus, request.gpus),
            request.time_budget,
        )
