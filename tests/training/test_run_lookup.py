"""Runs by name, and the newest run by default."""

import shutil

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.training.find_runs import (
    NoFinishedRunError,
    chosen_runs,
    find_run,
    newest_finished_run,
)
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run


def test_runs_are_found_by_name_and_the_newest_by_default(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 10)
    run, _ = (write_run(project, name) for name in ("run0", "run1"))
    assert find_run(project, "run0").folder == run.folder
    with pytest.raises(UserError, match=r"no run 'run7'.*run0, run1"):
        find_run(project, "run7")
    assert newest_finished_run(project).name == "run1"
    shutil.rmtree(project.runs)
    with pytest.raises(NoFinishedRunError):
        newest_finished_run(project)


def test_run_named_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="model1"):
        chosen_runs(project_in(tmp_path), ["model1", "model3", "model1"])
