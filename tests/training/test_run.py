"""Run folders: what must be there before a run is used."""

import shutil
from pathlib import Path

import pytest

from kaggle_cifar.fields import DamagedFileError
from kaggle_cifar.training.run import (
    NotValidatedError,
    Run,
    RunFileError,
    RunUnfinishedError,
)
from kaggle_cifar.training.run_summary import read_run_summary
from tests.helpers.small_runs import write_run


@pytest.fixture
def run(project, tmp_path):
    return Run(shutil.copytree(write_run(project, "whole").folder, tmp_path / "whole"))


def test_unfinished_run_cannot_be_used(run):
    run.metrics_file.unlink()
    with pytest.raises(RunUnfinishedError) as caught:
        run.load_model()
    assert caught.value.run == "whole"


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [Path.unlink, replace_by_folder])
@pytest.mark.parametrize("name", ["run.json", "metrics.json", "model.weights.h5"])
def test_run_without_a_needed_file_cannot_be_used(run, name, damage):
    run.weights_file.touch()
    damage(run.folder / name)
    with pytest.raises(RunFileError) as caught:
        run.require_finished()
    assert caught.value.path == run.folder / name


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "history.csv"])
def test_summary_names_a_missing_file(run, name):
    run.weights_file.touch()
    (run.folder / name).unlink()
    [sentence] = read_run_summary(run).missing
    assert sentence == str(RunFileError(run.folder / name))


@pytest.mark.parametrize("text", ["{}", "[]", '{"recipe": {}}', '{"recipe": {}, "options": 3}'])
def test_invalid_description_is_a_damaged_file(run, text):
    run.description_file.write_text(text)
    with pytest.raises(DamagedFileError) as caught:
        run.read_recipe()
    assert caught.value.path == run.description_file


def test_run_with_a_checkpoint_is_unfinished(run):
    run.weights_file.touch()
    run.metrics_file.unlink()
    run.checkpoint_file.parent.mkdir()
    run.checkpoint_file.touch()
    with pytest.raises(RunUnfinishedError):
        run.require_finished()


def test_run_without_validation_has_no_accuracy(run):
    text = run.metrics_file.read_text().replace('"validation_images": 12', '"validation_images": 0')
    run.metrics_file.write_text(text)
    with pytest.raises(NotValidatedError) as caught:
        run.read_validation_accuracy()
    assert caught.value.run == "whole"
