"""The commands that show runs and their results."""

import click

from kaggle_cifar.console import say
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.pass_obj
def runs(project: ProjectPaths) -> None:
    """List all runs and submissions with their scores.

    \b
      kaggle-cifar runs
    """  # noqa: D301
    from kaggle_cifar.report.ledger import describe_runs, describe_submissions

    say(describe_runs(project))
    if submissions := describe_submissions(project):
        say(f"\n{submissions}")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.pass_obj
def report(project: ProjectPaths, runs: tuple[str, ...]) -> None:
    """Write HTML pages about RUN, by default the newest.

    runs/RUN/report.html is the page of one run; runs/RUN/figures has its figures as PNGs. Several
    runs also get a page that compares them. runs/index.html is the table of all runs. The pages
    show stored results and compute none.

    \b
      kaggle-cifar report
      kaggle-cifar report model3 model3-tuned
    """  # noqa: D301
    from kaggle_cifar.report.report import report
    from kaggle_cifar.training.find_runs import chosen_runs

    report(project, chosen_runs(project, runs))
