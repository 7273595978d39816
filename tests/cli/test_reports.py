"""The commands that show runs."""

import importlib
import json

import pytest

from kaggle_cifar.cli.reports import runs
from kaggle_cifar.report import ledger, submission_ledger
from kaggle_cifar.report.ledger import RUN_COLUMNS
from kaggle_cifar.submission.record import update_record
from kaggle_cifar.training import find_runs
from tests.helpers.processes import run_command
from tests.helpers.small_data import write_training_data
from tests.helpers.small_runs import write_run


@pytest.mark.parametrize(("submissions", "lines"), [("", 1), ("the submissions", 3)])
def test_runs_lists_runs_and_submissions(run, monkeypatch, submissions, lines):
    monkeypatch.setattr(ledger, "describe_runs", lambda _: "the runs")
    monkeypatch.setattr(submission_ledger, "describe_submissions", lambda _: submissions)
    result = run("runs")
    assert result.output.splitlines()[0] == "the runs"
    assert len(result.output.splitlines()) == lines


def test_report_covers_the_chosen_runs(run, monkeypatch):
    report_module = importlib.import_module("kaggle_cifar.report.report")
    reported = []
    monkeypatch.setattr(find_runs, "chosen_runs", lambda _, names: list(names))
    monkeypatch.setattr(report_module, "report", lambda _, runs: reported.append(runs))
    assert run("report", "one", "two").status == 0
    assert reported == [["one", "two"]]


def test_runs_as_json_have_full_precision(project):
    write_training_data(project, 50)
    metrics = write_run(project, "one", seed=3).read_metrics()
    unfinished = write_run(project, "two")
    unfinished.metrics_file.unlink()
    project.submissions.mkdir()
    update_record(project.submissions / "one.csv", runs=["one"], public_score="0.84620")
    folders = ("--runs-dir", project.runs, "--submissions-dir", project.submissions)
    done = run_command(*folders, "runs", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    one, two = json.loads(done.stdout)
    assert tuple(one) == tuple(two) == RUN_COLUMNS
    assert (one["run"], one["seed"], one["finished"], one["epochs"]) == ("one", 3, True, 4)
    assert one["validation_accuracy"] == metrics["validation_accuracy"]
    assert (one["public_score"], one["private_score"]) == (0.8462, None)
    assert (two["run"], two["finished"], two["validation_accuracy"]) == ("two", False, None)


def test_runs_as_json_without_runs_are_an_empty_list(run, tmp_path):
    assert run("--runs-dir", tmp_path / "none", "runs", "--json") == (0, "[]\n", "")


def test_runs_as_json_name_damaged_files_as_errors(run, project):
    write_training_data(project, 50)
    damaged = write_run(project, "one").metrics_file
    damaged.write_text("[]")
    result = run("--runs-dir", project.runs, "runs", "--json")
    assert json.loads(result.output)[0]["parameters"] is None
    assert str(damaged) in result.errors


def test_help_of_runs_names_the_keys():
    assert set(RUN_COLUMNS) <= set((runs.help or "").replace(",", " ").split())
