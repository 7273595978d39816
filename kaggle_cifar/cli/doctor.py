"""The command that checks the machine and the Kaggle account."""

import sys

import click

from kaggle_cifar.console import say
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.pass_obj
def doctor(project: ProjectPaths) -> None:
    """Check this machine and your Kaggle account.

    Prints a line for the credentials, the competition's rules, the GPU hours on Kaggle, the disk,
    the memory, the devices, the precision, XLA and each version. The exit status is 1 if there is a
    problem.

    \b
      kaggle-cifar doctor
    """  # noqa: D301 - \b is click's mark for lines to keep
    from kaggle_cifar.api.data import examine

    diagnosis = examine(project)
    say(str(diagnosis))
    if diagnosis.problems:
        sys.exit(1)
