"""The commands that show runs."""

import importlib

import pytest

from kaggle_cifar.training import find_runs


@pytest.mark.parametrize(("submissions", "lines"), [("", 1), ("the submissions", 3)])
def test_runs_lists_runs_and_submissions(run, monkeypatch, submissions, lines):
    ledger = importlib.import_module("kaggle_cifar.report.ledger")
    monkeypatch.setattr(ledger, "describe_runs", lambda _: "the runs")
    monkeypatch.setattr(ledger, "describe_submissions", lambda _: submissions)
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
