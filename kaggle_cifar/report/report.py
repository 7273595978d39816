"""The report: a self-contained HTML page of each run, of several runs, and of all runs."""

import hashlib
from collections.abc import Sequence

from kaggle_cifar.console import say, table
from kaggle_cifar.files import ProjectPaths, lock
from kaggle_cifar.report.comparison_page import comparison_page
from kaggle_cifar.report.components import BETWEEN, require_own_page, write_page
from kaggle_cifar.report.data_view import view_data
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.index_page import index_page
from kaggle_cifar.report.reading import Findings, read_run, read_summary
from kaggle_cifar.report.run_page import run_page
from kaggle_cifar.training.find_runs import all_runs
from kaggle_cifar.training.run import Run

LONGEST_NAME = 120  # characters of a folder's name


def report(project: ProjectPaths, runs: Sequence[Run]) -> None:
    """Write each run's page with its figures, the page of several runs, and the index.

    It computes nothing: a page says what its run lacks.

    Raises
    ------
    ForeignPathError
        If something that this program did not write has the path of a page or a figure.
    BusyError
        If another process is writing a report.
    UserError
        If a folder cannot be written.
    """
    index = project.runs / "index.html"
    folder = project.runs / comparison_name([run.name for run in runs])
    pages = [run.folder / "report.html" for run in runs] + [folder / "report.html", index]
    with lock(project.runs, "report"):
        for page in pages:
            require_own_page(page)
        data = view_data(project)
        everything = [read_summary(project, run) for run in all_runs(project)]
        expectations = Expectations.of(project, everything)
        found = [read_run(project, run) for run in runs]
        for part in found:
            write_page(part.run.folder / "report.html", run_page(part, expectations, data))
            for sentence in part.missing:
                say(f"  {sentence}")
        if len(found) > 1:
            write_page(folder / "report.html", comparison_page(folder, found))
            say(accuracies_table(found))
        write_page(index, index_page(everything, expectations, data))


def comparison_name(names: Sequence[str]) -> str:
    """Return the folder name of a comparison of these runs.

    No run can have that name, and every file system accepts its length.
    """
    name = BETWEEN.join(names)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}{BETWEEN}{digest}"


def accuracies_table(found: Sequence[Findings]) -> str:
    """Return the table of the runs' accuracies for the terminal."""
    keys = ("train_accuracy", "validation_accuracy")
    rows = [
        (part.name, *(f"{part.metrics[key]:.4f}" if key in part.metrics else "" for key in keys))
        for part in found
    ]
    return table(("run", "training accuracy", "validation accuracy"), rows)
