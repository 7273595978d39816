"""The command that trains a recipe, here, on a cluster or on Kaggle."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from kaggle_cifar import recipes
from kaggle_cifar.api.train_request import TrainRequest, run_training
from kaggle_cifar.cli.completion import complete_recipes, complete_runs
from kaggle_cifar.cli.options import (
    EPOCHS,
    FOLD_COUNT,
    LIMIT,
    RUN_COUNT,
    SEED,
    DependentCommand,
    DependentOption,
    Requirement,
    cluster_options,
    device_option,
    parse_duration,
    parse_recipe,
    parse_run_name,
    parse_validation,
)
from kaggle_cifar.console import say
from kaggle_cifar.data.validation_split import VALIDATION_SPLITS
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths

ON_KAGGLE = Requirement(["on"], "add --on kaggle")
SEVERAL_RUNS = Requirement(
    ["seeds", "folds"], "a cluster trains several runs at once, but not one run faster"
)


@click.command(cls=DependentCommand)
@click.argument(
    "recipe", type=parse_recipe, default=recipes.DEFAULT, shell_complete=complete_recipes
)
@click.option(
    "--name",
    type=parse_run_name,
    metavar="NAME",
    shell_complete=complete_runs,
    help="Name of the run.  [default: the recipe, with the seed if given]",
)
@click.option(
    "--epochs",
    cls=DependentOption,
    excludes={"time_budget": "both set the number of epochs"},
    recipe_key="epochs",
    type=EPOCHS,
    help="Number of epochs (overrides the recipe).",
)
@click.option("--limit", type=LIMIT, help="Train on a stratified subset of N images.")
@click.option(
    "--seed",
    cls=DependentOption,
    excludes={"seeds": "--seeds N trains the seeds 0 to N - 1"},
    type=SEED,
    help="Random seed.  [default: 0]",
)
@click.option(
    "--seeds",
    cls=DependentOption,
    excludes={"folds": "use --folds N with one --seed at a time, and a --name for each"},
    type=RUN_COUNT,
    help="Train N runs with the seeds 0 to N - 1.",
)
@click.option(
    "--folds",
    cls=DependentOption,
    excludes={"validation": "--folds N validates each run on its own fold"},
    type=FOLD_COUNT,
    help="Train N runs for N-fold cross-validation.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change to the recipe, such as learning_rate=0.003 or plateau.factor=0.1.",
)
@click.option(
    "--validation",
    type=parse_validation,
    default=VALIDATION_SPLITS[0],
    show_default=True,
    metavar="|".join((*VALIDATION_SPLITS, "foldKofN")),
    help="Validation images: the last 20 % by id, 20 % of each class, none, or one of N folds.",
)
@click.option(
    "--mixed-precision",
    cls=DependentOption,
    recipe_key="mixed_precision",
    is_flag=True,
    help="16-bit activations, which are faster on most GPUs.",
)
@click.option(
    "--time-budget",
    type=parse_duration,
    metavar="DURATION",
    help="Duration such as 50m, into which the number of epochs is fitted.",
)
@click.option(
    "--tensorboard",
    is_flag=True,
    help="Logs for TensorBoard in runs/NAME/tensorboard.",
)
@click.option(
    "--on",
    cls=DependentOption,
    excludes={
        "seeds": "Kaggle trains one run at a time, for instance with --seed 1",
        "tensorboard": "the logs are written on the machine that trains",
        "folds": "Kaggle trains one run at a time, for instance with --validation fold1of5",
    },
    type=click.Choice(["kaggle"]),
    help="Train on a GPU of Kaggle and download the run.",
)
@click.option(
    "--accelerator",
    cls=DependentOption,
    requires=ON_KAGGLE,
    help="Kaggle's name of the GPU.  [default: NvidiaTeslaT4, two]",
)
@click.option(
    "--predict",
    cls=DependentOption,
    requires=ON_KAGGLE,
    is_flag=True,
    help="Predict the test images on Kaggle too.",
)
@click.option(
    "--tta",
    cls=DependentOption,
    requires=Requirement(["predict"], "it is about the prediction of the test images"),
    is_flag=True,
    help="Predict the test images with test-time augmentation too.",
)
@click.option(
    "--detach",
    cls=DependentOption,
    requires=ON_KAGGLE,
    is_flag=True,
    help="Return once the training is on Kaggle. Run the command again to monitor it.",
)
@device_option(
    cls=DependentOption,
    excludes={"on": "Kaggle chooses its device", "gpus": "the CPU excludes GPUs per training"},
)
@cluster_options(requires=SEVERAL_RUNS)
@click.pass_obj
def train(project: ProjectPaths, /, **parameters: Any) -> None:
    """Train RECIPE, or resume an unfinished run.

    RECIPE is the name of a recipe or a JSON file of your own. To write one, copy a run's run.json
    and give the recipe in it another "name". The folder runs/NAME gets the weights, the history,
    the metrics and the figures. Ctrl-C saves the state; run the same command to resume.

    \b
      kaggle-cifar train
      kaggle-cifar train model3 --seed 1
      kaggle-cifar train my_recipe.json
      kaggle-cifar train airbench94 --time-budget 50m
      kaggle-cifar train --epochs 2 --limit 2000 --name quick-look
      kaggle-cifar train airbench96 --on kaggle --predict --tta
    """  # noqa: D301
    request = TrainRequest(**parameters)
    try:
        _ = request.changed_recipe  # a usage error comes before anything is printed
    except UserError as error:
        raise click.UsageError(f"--set: {error}") from None
    if request.recipe.name == recipes.DEFAULT:
        say(recipes.BETTER_THAN_DEFAULT)
    with exit_on_interrupt():
        run_training(project, request)


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Exit with the signal's status if a signal stops a training."""
    from kaggle_cifar.training.signals import Interrupted

    try:
        yield
    except Interrupted as stop:
        say("Stopped. The state is saved: run the same command to resume.")
        sys.exit(128 + stop.signal_number)
