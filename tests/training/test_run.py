"""Run folders: what must be there before a run is used."""

import shutil

import pytest

from kaggle_cifar.training.run import (
    MetricsMissingError,
    NotValidatedError,
    Run,
    RunUnfinishedError,
    WeightsMissingError,
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


def test_run_without_weights_cannot_be_used(run):
    with pytest.raises(WeightsMissingError) as caught:
        run.require_finished()
    assert caught.value.path == run.weights_file


def test_run_that_lost_its_metrics_is_named(run):
    run.weights_file.touch()
    run.metrics_file.unlink()
    with pytest.raises(MetricsMissingError) as caught:
        run.require_finished()
    assert caught.value.path == run.metrics_file
    assert str(caught.value) in read_run_summary(run).missing


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
