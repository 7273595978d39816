"""The table of runs as `kaggle-cifar runs` prints them."""

import dataclasses
import statistics

import pytest
from click.testing import CliRunner

from kaggle_cifar import cli, recipes
from kaggle_cifar.files import write_json
from kaggle_cifar.training.find_runs import find_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import RunFileError
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run


@pytest.fixture
def project(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 50)
    return project


def printed_lines(project) -> dict[str, str]:
    """Return each line that `runs` prints by its first word."""
    result = CliRunner().invoke(cli.cli, ["--runs-dir", str(project.runs), "runs"])
    assert result.exception is None, result.exception
    return {line.split()[0]: line for line in result.output.splitlines()}


def test_runs_show_the_spread_of_different_seeds(project):
    runs = [write_run(project, f"seed{seed}", seed=seed) for seed in range(3)]
    write_run(project, "again", seed=1)
    accuracies = [run.read_validation_accuracy() for run in runs]
    line = printed_lines(project)["model3,"]
    assert line.startswith(
        f"model3, 3 seeds: mean validation accuracy {statistics.mean(accuracies):.4f}"
    )
    assert f"standard deviation {statistics.stdev(accuracies):.4f}" in line


def test_runs_show_finished_and_unfinished_ones(project):
    run = write_run(project, "finished")
    content = {
        "recipe": dataclasses.asdict(recipes.model3()),
        "options": dataclasses.asdict(RunOptions()),
    }
    write_json(project.runs / "unfinished" / "run.json", content)
    (project.runs / "unfinished" / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
        "1,2.0,0.2,2.1,0.25,0.001,10.5\n2,1.9,0.3,2.2,0.2,0.001,10.5\n"
    )
    lines = printed_lines(project)
    words = "unfinished model3 2 of 50, unfinished 0.2500 so far 21 s"
    assert lines["unfinished"].split() == words.split()
    assert f" {run.read_validation_accuracy():.4f}" in lines["finished"]
    assert lines["finished"].endswith("309,290")


@pytest.mark.parametrize(
    ("file", "content"),
    [("run.json", "{"), ("run.json", "[1]"), ("history.csv", "corrupt"), ("metrics.json", "[]")],
)
def test_corrupt_file_of_a_run_is_named(project, file, content):
    corrupt, _ = (write_run(project, name) for name in ("corrupt", "intact"))
    (corrupt.folder / file).write_text(content)
    lines = printed_lines(project)
    assert "corrupt" in lines and lines["intact"].endswith("309,290")
    assert str(corrupt.folder / file) in lines
    assert ("unreadable" in lines["corrupt"]) == (file == "run.json")


def test_run_without_its_description_is_named(project):
    run = write_run(project, "lost")
    run.weights_file.touch()
    run.description_file.unlink()
    assert str(run.description_file) in printed_lines(project)
    with pytest.raises(RunFileError) as caught:
        find_run(project, "lost")
    assert caught.value.path == run.description_file
