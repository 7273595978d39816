"""The parameters that several commands share, and relations between options."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
from click.core import ParameterSource

from kaggle_cifar import recipes
from kaggle_cifar.api.arguments import DEVICES
from kaggle_cifar.competition import CLASS_NAMES, TRAIN_COUNT
from kaggle_cifar.data.validation_split import VALIDATION, is_validation_split
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import FROM_0, Kind
from kaggle_cifar.recipes import Recipe, whole_number
from kaggle_cifar.training import options
from kaggle_cifar.training.options import LARGEST_SEED

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def number_type(kind: Kind, number: Callable[[str], float] = int) -> Callable[[str], float]:
    """Return the type of options that are numbers of a kind."""

    def n(text: str) -> float:  # click shows its name as the placeholder
        with contextlib.suppress(ValueError):
            if kind.accepts(value := number(text)):
                return value
        raise click.BadParameter(f"{text!r} is not {kind.words}.")

    return n


PATH = click.Path(path_type=Path)
SEED = number_type(whole_number(0, LARGEST_SEED))
EPOCHS = number_type(whole_number(1, recipes.MOST_EPOCHS))
LIMIT = number_type(whole_number(len(CLASS_NAMES), TRAIN_COUNT))
RUN_COUNT = number_type(whole_number(1, 1000))
FOLD_COUNT = number_type(whole_number(2, TRAIN_COUNT))
CPUS = number_type(whole_number(1))
GPUS = number_type(FROM_0, float)


def parse_run_name(name: str) -> str:
    """Return a name that a run may have."""
    try:
        recipes.require_name("run", name)
    except UserError as error:
        raise click.BadParameter(str(error)) from None
    return name


def device_option(**settings: Any) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the option for the device."""
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        help="Device to use in place of the GPUs.",
        **settings,
    )


def parse_recipe(name_or_file: str) -> Recipe:
    """Return the recipe of a name or a JSON file."""
    try:
        return recipes.find_recipe(name_or_file)
    except UserError as error:
        raise click.BadParameter(str(error)) from None


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as 50m, 1h30m or 90s."""
    try:
        return options.parse_duration(text)
    except UserError as error:
        raise click.BadParameter(str(error)) from None


def parse_validation(name: str) -> str:
    """Return the name of a validation split, or of a fold such as fold1of10."""
    if not is_validation_split(name):
        raise click.BadParameter(f"{name!r} is not {VALIDATION}.")
    return name


class Requirement(NamedTuple):
    """Options of which an option requires one, and the reason."""

    options: Sequence[str]
    reason: str


class DependentOption(click.Option):
    """An option that declares its relations to other options of the command.

    Parameters
    ----------
    excludes
        The parameters that cannot be given with this option, each with the reason.
    requires
        The parameters of which one must be given with this option.
    recipe_key
        The recipe's key that this option changes, so that `--set` cannot change it too.
    """

    def __init__(
        self,
        *names: Any,
        excludes: Mapping[str, str] | None = None,
        requires: Requirement | None = None,
        recipe_key: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*names, **settings)
        self.excludes = excludes or {}
        self.requires = requires
        self.recipe_key = recipe_key

    def check(self, context: click.Context) -> None:
        """Raise a UsageError if other options of the command line contradict this one."""
        if not is_given(context, self.name):
            return
        flag = self.opts[-1]
        flags = {option.name: option.opts[-1] for option in context.command.params}
        for other, reason in self.excludes.items():
            if is_given(context, other):
                raise click.UsageError(f"{flag} cannot be used with {flags[other]}: {reason}.")
        if self.requires and not any(is_given(context, other) for other in self.requires.options):
            needed = " or ".join(flags[other] for other in self.requires.options)
            raise click.UsageError(f"{flag} requires {needed}: {self.requires.reason}.")
        if self.recipe_key in {key.partition("=")[0] for key in context.params.get("changes", ())}:
            raise click.UsageError(
                f"{flag} cannot be used with --set {self.recipe_key}=…: both set {self.recipe_key}."
            )


class DependentCommand(click.Command):
    """A command that checks the relations which its options declare."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Parse the arguments, then check each option against the others."""
        rest = super().parse_args(context, arguments)
        for parameter in self.params:
            if isinstance(parameter, DependentOption) and not context.resilient_parsing:
                parameter.check(context)
        return rest


def is_given(context: click.Context, name: str | None) -> bool:
    """Return whether a parameter is on the command line."""
    return bool(name) and context.get_parameter_source(str(name)) is ParameterSource.COMMANDLINE


def cluster_options(requires: Requirement | None = None) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the options of a cluster and of a training's share of it."""
    address = click.option(
        "--address",
        cls=DependentOption,
        requires=requires,
        envvar="RAY_ADDRESS",
        show_envvar=True,
        help="Address of a Ray cluster, such as 10.0.0.1:6379, or local for this machine.",
    )
    cpus = click.option(
        "--cpus",
        cls=DependentOption,
        requires=requires,
        type=CPUS,
        help="Number of CPU cores per training.",
    )
    gpus = click.option(
        "--gpus",
        cls=DependentOption,
        requires=requires,
        type=GPUS,
        help="Number of GPUs per training, such as 0.5.",
    )
    return lambda command: address(cpus(gpus(command)))
