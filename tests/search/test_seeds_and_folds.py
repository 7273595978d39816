"""Seeds and folds of one recipe, and the table that shows them."""

import dataclasses
import json
import statistics

import numpy as np
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli, recipes
from kaggle_cifar.data.dataset import SplitError
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_json
from kaggle_cifar.models.inference import read_probabilities
from kaggle_cifar.report import ledger
from kaggle_cifar.search import seeds_and_folds
from kaggle_cifar.submission.record import update_record
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.train import train
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run

RECIPE = dataclasses.replace(recipes.model1(), epochs=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("sweeps"))
    write_training_data(project, 50)
    return project


@pytest.fixture(scope="module")
def seeds(project):
    return seeds_and_folds.train_seeds(project, RECIPE, "model1", RunOptions(), 3)


def test_seeds_give_mean_and_spread(project, seeds):
    accuracies = [run.read_metrics()["validation_accuracy"] for run in seeds]
    weights = {run.weights_sha256() for run in seeds}
    assert len(weights) == 3
    table = ledger.describe_runs(project)
    mean, spread = statistics.mean(accuracies), statistics.stdev(accuracies)
    assert f"model1, 3 seeds: mean validation accuracy {mean:.4f}" in table
    assert f"standard deviation {spread:.4f}" in table


def test_the_same_seed_under_two_names_counts_once(project, seeds):
    train(project, RECIPE, "again", RunOptions(seed=1))
    assert "model1, 3 seeds:" in ledger.describe_runs(project)


def test_folds_judge_every_image_by_a_run_that_never_saw_it(project, capsys):
    runs = seeds_and_folds.train_folds(project, RECIPE, "model1", RunOptions(), 3)
    rows = read_probabilities(project.runs / "model1-3folds.npy")
    np.testing.assert_array_equal(rows["id"], np.arange(1, 51))
    for run in runs:
        own = read_probabilities(run.folder / "validation_probabilities.npy")
        kept = rows[np.isin(rows["id"], own["id"])]
        np.testing.assert_array_equal(kept["probabilities"], own["probabilities"])
        assert run.read_metrics()["train_images"] == 50 - len(own)
    accuracy = np.mean(rows["probabilities"].argmax(axis=1) == rows["id"] % 10)
    assert f"out-of-fold accuracy {accuracy:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "limit"), [(51, None), (5000, 20), (21, 20)])
def test_folds_without_images_are_refused_before_any_is_trained(project, count, limit):
    with pytest.raises(SplitError) as caught:
        seeds_and_folds.train_folds(project, RECIPE, "too-many", RunOptions(limit=limit), count)
    assert caught.value.images == (limit or 50)
    assert not list(project.runs.glob("too-many*"))


def test_a_foreign_file_of_the_folds_name_is_refused(project):
    path = project.runs / "mine-2folds.npy"
    path.write_text("mine")
    with pytest.raises(UserError):
        seeds_and_folds.train_folds(project, RECIPE, "mine", RunOptions(), 2)
    assert path.read_text() == "mine"
    assert not (project.runs / "mine-fold1of2").exists()


def test_the_table_shows_finished_and_unfinished_runs(project, seeds):
    unfinished = project.runs / "begun"
    content = {
        "recipe": dataclasses.asdict(recipes.model3()),
        "options": dataclasses.asdict(RunOptions()),
    }
    write_json(unfinished / "run.json", content)
    (unfinished / "history.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
        "1,2.0,0.2,2.1,0.25,0.001,10.5\n2,1.9,0.3,2.2,0.2,0.001,10.5\n"
    )
    lines = ledger.describe_runs(project).splitlines()
    begun = next(line for line in lines if line.startswith("begun"))
    assert begun.split() == [
        "begun",
        "model3",
        "2",
        "of",
        "50,",
        "unfinished",
        "0.2500",
        "so",
        "far",
        "21",
        "s",
    ]
    metrics = seeds[0].read_metrics()
    accuracy, error = metrics["validation_accuracy"], metrics["validation_standard_error"]
    finished = next(line for line in lines if line.startswith("model1-seed0"))
    assert f"{accuracy:.4f} ± {error:.4f}" in finished
    assert finished.endswith("122,570")


def lines_of_runs(project):
    """Return each line of what `runs` shows, by its first word."""
    result = CliRunner().invoke(cli.cli, ["--runs-dir", str(project.runs), "runs"])
    assert result.exception is None, result.exception
    return {line.split()[0]: line for line in result.output.splitlines()}


def test_runs_of_another_version_are_shown_with_what_is_known(project, tmp_path):
    project = dataclasses.replace(project, runs=tmp_path / "runs")
    for seed in range(2):
        run = write_run(project, f"old{seed}", seed=seed)
        content = json.loads(run.description_file.read_text())
        content["recipe"] |= {"name": "model0", "network": "model0", "warmup": {"steps": 7}}
        content["options"] = {"seed": seed, "colour": "blue"}
        write_json(run.description_file, content)
    begun = {"recipe": {"name": "model0", "epochs": "many"}}
    write_json(project.runs / "begun" / "run.json", begun)
    lines = lines_of_runs(project)
    accuracy = run.read_metrics()["validation_accuracy"]
    assert lines["old1"].split()[:4] == ["old1", "model0", "4", f"{accuracy:.4f}"]
    assert "0 of an unknown number of, unfinished" in lines["begun"]
    assert "2 seeds: mean validation accuracy" in lines["model0,"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[1]"),
        ("history.csv", "torn"),
        ("metrics.json", "[]"),
    ],
)
def test_a_torn_file_is_named_and_the_other_runs_are_shown(project, tmp_path, file, content):
    project = dataclasses.replace(project, runs=tmp_path / "runs")
    torn, _ = (write_run(project, name) for name in ("torn", "whole"))
    (torn.folder / file).write_text(content)
    lines = lines_of_runs(project)
    assert "torn" in lines and lines["whole"].endswith("309,290")
    assert str(torn.folder / file) in lines
    assert ("unreadable" in lines["torn"]) == (file == "run.json")


def test_submissions_stand_beside_their_validation_accuracy(project, seeds):
    for name in ("one", "never-submitted"):
        project.submissions.mkdir(exist_ok=True)
        (project.submissions / f"{name}.csv").write_text("id,label\n")
    update_record(
        project.submissions / "one.csv",
        runs=[seeds[0].name],
        submitted_at="2026-11-23T09:00:00+00:00",
        status="COMPLETE",
        public_score="0.84620",
        private_score="0.84100",
    )
    header, *rows = ledger.describe_submissions(project).splitlines()
    assert header.split()[:4] == ["submission", "validation", "public", "private"]
    accuracy = seeds[0].read_metrics()["validation_accuracy"]
    assert [row.split() for row in rows] == [
        ["one", f"{accuracy:.4f}", "0.84620", "0.84100", "complete", "2026-11-23", "09:00:00"]
    ]


@pytest.mark.parametrize(
    "content",
    [
        '{"kaggle-cifar": "submission", "status": "COMPLETE", "submitted_at": 7}',
        '{"kaggle-cifar": "submission", "runs": ["one',
        "[]",
    ],
)
def test_a_broken_record_of_a_submission_hides_no_other(tmp_path, content):
    project = project_in(tmp_path)
    for name in ("broken", "whole"):
        project.submissions.mkdir(exist_ok=True)
        (project.submissions / f"{name}.csv").write_text("id,label\n")
    update_record(project.submissions / "whole.csv", status="COMPLETE", public_score="0.5")
    (project.submissions / "broken.json").write_text(content)
    (project.submissions / "foreign.json").write_text("{}")  # beside no CSV: of no interest
    _, row, problem = ledger.describe_submissions(project).splitlines()
    assert row.split()[:2] == ["whole", "0.5"]
    assert str(project.submissions / "broken.json") in problem


def test_what_was_submitted_before_stays_in_the_table(tmp_path):
    project = project_in(tmp_path)
    csv = project.submissions / "moved-away.csv"
    csv.parent.mkdir(exist_ok=True)
    earlier = [{"status": "COMPLETE", "public_score": "0.1"}]
    update_record(csv, status="UNKNOWN", earlier=earlier)
    _, *rows = ledger.describe_submissions(project).splitlines()
    assert [row.split() for row in rows] == [
        ["moved-away", "0.1", "complete"],
        ["moved-away", "unknown"],
    ]
