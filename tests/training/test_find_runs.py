"""Runs found by name, by age, by default."""

import os

import pytest

from kaggle_cifar.files import write_json
from kaggle_cifar.training.find_runs import (
    DuplicateRunError,
    NoFinishedRunError,
    RunNotFoundError,
    all_runs,
    chosen_runs,
    find_run,
    newest_finished_run,
)
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run


@pytest.fixture
def project(tmp_path):
    project = project_in(tmp_path)
    write_training_data(project, 20)
    for age, (name, options) in enumerate([("b", {}), ("a", {}), ("trial", {"search": "s"})]):
        run = write_run(project, name, **options)
        for file in (run.description_file, run.metrics_file):
            os.utime(file, (1000 + age, 1000 + age))
    return project


def test_run_is_found_by_name(project):
    assert find_run(project, "a").folder == project.runs / "a"
    with pytest.raises(RunNotFoundError) as caught:
        find_run(project, "c")
    assert caught.value.name == "c"
    assert caught.value.known == [run.name for run in all_runs(project)] == ["b", "a", "trial"]


def test_newest_finished_run_is_the_default(project):
    assert [run.name for run in chosen_runs(project, [])] == ["a"]  # a trial does not count
    assert [run.name for run in chosen_runs(project, ["b", "trial"])] == ["b", "trial"]
    find_run(project, "a").metrics_file.unlink()
    assert newest_finished_run(project).name == "b"
    find_run(project, "b").metrics_file.unlink()
    with pytest.raises(NoFinishedRunError) as caught:
        newest_finished_run(project)
    assert caught.value.folder == project.runs


def test_damaged_description_counts_as_no_trial(project):
    write_json(find_run(project, "b").description_file, ["damaged"])
    os.utime(find_run(project, "b").metrics_file, (2000, 2000))
    assert newest_finished_run(project).name == "b"


def test_run_named_twice_is_refused(project):
    with pytest.raises(DuplicateRunError) as caught:
        chosen_runs(project, ["a", "b", "a"])
    assert caught.value.name == "a"
