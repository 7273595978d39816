"""Each command that a page offers, executed."""

import dataclasses
import html
import re
import shlex

import pytest

from kaggle_cifar import recipes
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.report import report
from kaggle_cifar.report.training_command import repeating_command, resuming_command
from kaggle_cifar.search import search as search_module
from kaggle_cifar.search import search_space
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.search_space import Space
from kaggle_cifar.training import train as train_module
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_summary import read_run_summary
from kaggle_cifar.training.train import train, train_by_epochs
from tests.cli.conftest import run as run_command  # noqa: F401 - a fixture
from tests.helpers.results import result_of
from tests.helpers.simulated_kills import Killed
from tests.helpers.small_runs import write_run

SMALL = dataclasses.replace(recipes.model1(), epochs=1)


@pytest.mark.parametrize(
    ("changes", "options", "command"),
    [
        ({}, {}, "train model3 --name one-again"),
        ({"epochs": 3}, {"seed": 2}, "train model3 --name one-again --epochs 3 --seed 2"),
        ({"name": "mine"}, {"limit": 500}, "train {file} --name one-again --limit 500"),
        ({"epochs": 7}, {"time_budget": 90.0}, "train model3 --name one-again --epochs 7"),
    ],
)
def test_repeating_command_has_the_settings(project, changes, options, command):
    recipe = dataclasses.replace(recipes.model3(), **changes)
    run = write_run(project, "one", recipe=recipe, **{"seed": 0, **options})
    found = repeating_command(ProjectPaths(runs=project.runs), read_run_summary(run))
    expected = f"kaggle-cifar --runs-dir {project.runs} {command}"
    assert found == expected.format(file=run.description_file)


def test_resuming_command_keeps_the_time_budget(project):
    run = write_run(project, "one", time_budget=90.0)
    command = resuming_command(project, read_run_summary(run))
    assert command.endswith("--name one --time-budget 90s")


@pytest.fixture
def execute(project, run_command):  # noqa: F811 - the fixture
    """Execute a command of a page."""

    def execute(command):
        words = shlex.split(command)
        assert words[0] == "kaggle-cifar"
        result = run_command(*words[1:])
        assert result.status == 0, result.errors

    return execute


def commands_of(project, run):
    """Return the commands on a run's page."""
    report(project, [run])
    page = (run.folder / "report.html").read_text()
    found = re.findall("<code>(.*?)</code>", page, flags=re.DOTALL)
    commands = [html.unescape(re.sub("<[^>]*>", "", part)) for part in found]
    return [part for part in commands if part.startswith("kaggle-cifar ")]


def command_with(project, run, part):
    [command] = {command for command in commands_of(project, run) if part in command}
    return command


@pytest.mark.slow
def test_repeating_command_trains_the_same_weights(project, no_figures, execute):
    recipe = dataclasses.replace(SMALL, name="mine", batch_size=32)
    options = RunOptions(seed=3, limit=100, validation="fold1of5")
    run = train(project, recipe, "mine", options)
    execute(command_with(project, run, "--name mine-again"))
    assert result_of(Run(project.runs / "mine-again")) == result_of(run)


@pytest.mark.slow
def test_commands_of_a_run_without_validation(project, no_figures, execute):
    recipe = dataclasses.replace(SMALL, name="mine", early_stopping=None, plateau=None)
    run = train(project, recipe, "all", RunOptions(limit=100, validation="none"))
    execute(command_with(project, run, "--name all-validated"))
    validated = Run(project.runs / "all-validated").read_metrics()
    assert (validated["train_images"], validated["validation_images"]) == (80, 20)
    execute(command_with(project, run, "--name all-again"))
    again = Run(project.runs / "all-again")
    assert again.weights_sha256() == run.weights_sha256()


@pytest.mark.slow
def test_commands_of_an_unfinished_run(project, no_figures, execute):
    recipe = dataclasses.replace(recipes.model1(), epochs=2)
    options = RunOptions(limit=100)
    epochs = train_by_epochs(project, recipe, "one", options)
    next(epochs)
    epochs.close()
    run = Run(project.runs / "one")
    assert not run.finished
    execute(command_with(project, run, "train "))
    assert run.finished
    whole = train(project, recipe, "whole", options)
    assert result_of(run) == result_of(whole)
    execute(command_with(project, run, " predict "))
    assert (project.submissions / "one.csv").exists()


@pytest.mark.slow
def test_commands_of_a_trial(project, no_figures, execute, monkeypatch):
    monkeypatch.setattr(search_space, "GRID", {"epochs": [1], "learning_rate": [0.01, 0.001]})
    monkeypatch.setattr(search_module, "find_spec", lambda name: None)  # no Ray

    def kill(training):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(train_module, "write_result", kill)
        space = Space(recipes.model1(), search_space.GRID, "a small grid")
        options = RunOptions(limit=100)
        search_module.search(project, "s", space, search_space.GRID_DRAW, 1, options, Cluster())
    trial = Run(project.runs / "s-trial1")
    assert not trial.finished
    execute(command_with(project, trial, " search "))
    assert trial.finished
    execute(command_with(project, trial, "--name s-trial1-again"))
    assert result_of(Run(project.runs / "s-trial1-again")) == result_of(trial)
    execute(project.command("search", "--name", "s", "--trials", 2))
    assert Run(project.runs / "s-trial2").finished
