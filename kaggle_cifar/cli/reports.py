"""The commands that show runs and their results."""

import json

import click

from kaggle_cifar.cli.completion import complete_runs
from kaggle_cifar.cli.options import parse_run_name
from kaggle_cifar.console import say, say_error
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Output of the table of runs as JSON.")
@click.pass_obj
def runs(project: ProjectPaths, as_json: bool) -> None:
    """List all runs and submissions with their scores.

    \b
      kaggle-cifar runs
      kaggle-cifar runs --json

    With --json, the output is a list with an object for each run on this machine, the oldest
    first. A value that is missing is null. Accuracies and scores are numbers from 0 to 1. The
    keys are:

    \b
      run, recipe             names
      seed                    random seed
      finished                whether the training has ended
      epochs, seconds         done so far
      parameters              number of the network's parameters
      train_accuracy, validation_accuracy, validation_accuracy_tta
      validation_standard_error
      expected_score_low, expected_score_high
                              95 % interval of the score
      public_score, private_score
                              Kaggle's, of the best submission of this run alone
      rank                    where that score would stand on the leaderboard
      gap_to_first            the score of the first team minus that score
    """  # noqa: D301
    from kaggle_cifar.report.ledger import describe_runs, run_values
    from kaggle_cifar.report.submission_ledger import describe_submissions

    if as_json:
        rows, problems = run_values(project)
        say(json.dumps(rows, indent=2))
        for problem in problems:
            say_error(problem)
        return
    say(describe_runs(project))
    if submissions := describe_submissions(project):
        say(f"\n{submissions}")


@click.command()
@click.argument(
    "runs", type=parse_run_name, nargs=-1, metavar="[RUN]...", shell_complete=complete_runs
)
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
