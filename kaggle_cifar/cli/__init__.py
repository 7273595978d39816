"""The command line: a module for the commands of each stage, added to one group here.

The commands turn their parameters into a call of the stage. They import it when they run, because
`--help` must answer at once.
"""

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kaggle_cifar import __version__
from kaggle_cifar.advice import use_python_words
from kaggle_cifar.cli import data, doctor, predict, reports, search, submission, train
from kaggle_cifar.cli.options import PATH
from kaggle_cifar.console import say_error
from kaggle_cifar.errors import UserError, sentence
from kaggle_cifar.files import ProjectPaths, require_folder_path

COMMANDS = (
    doctor.doctor,
    data.sample,
    data.download,
    data.extract,
    data.inspect,
    train.train,
    predict.predict,
    submission.check,
    submission.submit,
    reports.runs,
    reports.report,
    predict.classify,
    predict.export,
    search.search,
)


class OrderedGroup(click.Group):
    """A group whose help lists the commands in the order in which they were added."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of the commands in their order."""
        return list(self.commands)


def parse_folder(context: click.Context, parameter: click.Parameter, path: Path) -> Path:
    """Return the path of a folder, which need not exist."""
    try:
        return require_folder_path(path)
    except UserError as error:
        raise click.BadParameter(str(error)) from None


def folder_option(name: str, content: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option for one of the project's folders."""
    return click.option(
        f"--{name}-dir",
        type=PATH,
        callback=parse_folder,
        default=name,
        show_default=True,
        envvar=f"KAGGLE_CIFAR_{name.upper()}_DIR",
        show_envvar=True,
        help=content,
    )


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kaggle-cifar")
@folder_option("data", "Folder of the archives and images.")
@folder_option("runs", "Folder of the trained runs.")
@folder_option("submissions", "Folder of the CSV files for Kaggle.")
@click.pass_context
def cli(context: click.Context, data_dir: Path, runs_dir: Path, submissions_dir: Path) -> None:
    """Train networks for Kaggle's CIFAR-10 competition and submit their predictions.

    \b
    Typical use:
      kaggle-cifar doctor       Check this machine and your Kaggle account
      kaggle-cifar download     Download, verify and extract Kaggle's files
      kaggle-cifar train        Train a network
      kaggle-cifar predict      Predict the 300,000 test images
      kaggle-cifar submit submissions/model3-tuned.csv --wait

    You can stop every command at any time. Run the same command to resume.
    """  # noqa: D301 - \b is click's mark for lines to keep
    use_python_words(False)
    context.obj = ProjectPaths(data_dir, runs_dir, submissions_dir)


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line: exit with 1 after an error, 2 after a usage error, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # print "?" if the encoding lacks a character
            stream.reconfigure(errors="replace")
    try:
        cli.main(prog_name="kaggle-cifar", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except (click.ClickException, click.Abort, KeyboardInterrupt, UserError, OSError) as error:
        sys.exit(report_error(error))


def report_error(error: BaseException) -> int:
    """Print an error that needs no traceback and return the exit status."""
    if isinstance(error, click.ClickException):
        shown = io.StringIO()
        error.show(shown)
        say_error(shown.getvalue().rstrip())
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        say_error("Stopped. Run the same command to resume.")
        return 130
    if isinstance(error, OSError):
        what = ""
        if error.errno and not error.filename:  # standard output, not a file
            discard_output()
            what = "cannot print the output: "
        error = UserError(what + sentence(error))
    say_error(f"Error: {error}")
    return 1


def discard_output() -> None:
    """Send Python's last flush to the null device if standard output fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
