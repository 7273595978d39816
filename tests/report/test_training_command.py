"""The command that trains a run again."""

import dataclasses
import shlex

import pytest

from kaggle_cifar import cli, recipes
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.training_command import training_command
from kaggle_cifar.training.run_summary import read_run_summary
from tests.helpers.small_runs import write_run


@pytest.mark.parametrize(
    ("changes", "options", "command"),
    [
        ({}, {}, "train model3 --name one"),
        ({"epochs": 3}, {"seed": 2}, "train model3 --name one --epochs 3 --seed 2"),
        ({"name": "mine"}, {"limit": 500}, "train {file} --name one --limit 500"),
        ({}, {"validation": "stratified"}, "train model3 --name one --validation stratified"),
        ({}, {"mixed_precision": True}, "train model3 --name one --mixed-precision"),
        ({"epochs": 7}, {"time_budget": 90.0}, "train model3 --name one --time-budget 90s"),
        ({}, {"search": "s", "limit": 100}, "search --name s --limit 100"),
        ({}, {"validation": "fold2of5"}, "train model3 --name one --validation fold2of5"),
    ],
)
def test_training_command_repeats_the_run(project, changes, options, command):
    recipe = dataclasses.replace(recipes.model3(), **changes)
    run = write_run(project, "one", recipe=recipe, **{"seed": 0, **options})
    found = training_command(ProjectPaths(runs=project.runs), read_run_summary(run))
    words = shlex.split(found)
    assert words[:3] == ["kaggle-cifar", "--runs-dir", str(project.runs)]
    words = words[3:]
    assert words == command.format(file=run.description_file).split()
    parameters = cli.cli.commands[words[0]].params
    given = {word for word in words if word.startswith("--")}
    assert given <= {name for parameter in parameters for name in parameter.opts}
