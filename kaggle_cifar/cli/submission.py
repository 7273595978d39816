"""The commands that check and submit a CSV."""

import dataclasses
from pathlib import Path

import click

from kaggle_cifar.cli.options import PATH
from kaggle_cifar.console import counted, say
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.argument("csv", type=PATH)
@click.option(
    "--solution", type=PATH, help="CSV with the columns id,label,Usage, to compute the accuracy."
)
@click.pass_obj
def check(project: ProjectPaths, csv: Path, solution: Path | None) -> None:
    """Check whether Kaggle will accept CSV.

    Prints every fault for which Kaggle rejects a file and exits with status 1 if there is one.
    Prints a warning for anything that Kaggle may reject.

    \b
      kaggle-cifar check submissions/model3-tuned.csv
    """  # noqa: D301
    from kaggle_cifar.submission.score import accuracy
    from kaggle_cifar.submission.validate import require_valid

    result = require_valid(csv, project)
    say(f"{csv} is a valid submission of {counted(result.rows, 'row')}.")
    if solution:
        accuracies = accuracy(csv, solution)
        for field in dataclasses.fields(accuracies):
            part = getattr(accuracies, field.name)
            if part.count:
                say(f"{field.name} accuracy {part} ({part.right:,} of {part.count:,})")


@click.command()
@click.argument("csv", type=PATH)
@click.option("-m", "--message", help="Description of the submission.  [default: the file's name]")
@click.option("--wait", is_flag=True, help="Wait for the scores and record them.")
@click.option(
    "--again", is_flag=True, help="Submit a file even if it was or may have been submitted."
)
@click.pass_obj
def submit(project: ProjectPaths, csv: Path, message: str | None, wait: bool, again: bool) -> None:
    """Check CSV, submit it once and record Kaggle's answer.

    The answer is stored in a JSON file next to CSV. The same content is never submitted twice; with
    --wait, its scores are fetched. If Kaggle's answer was lost, the command looks for the
    submission in Kaggle's list. Only --again submits the file once more.

    \b
      kaggle-cifar submit submissions/model3-tuned.csv --wait
    """  # noqa: D301
    from kaggle_cifar.submission.outcome import WAIT_SECONDS
    from kaggle_cifar.submission.submit import submit

    submit(csv, project, message, WAIT_SECONDS if wait else None, again=again)
