"""The tables of runs and submissions on the pages."""

import pytest

from kaggle_cifar.report.ledger import runs_table, submissions_table
from kaggle_cifar.report.reading import read_summary
from kaggle_cifar.submission.record import update_record
from tests.helpers.small_runs import write_run


def test_runs_table_shows_the_best_score_of_a_run_alone(project):
    run = write_run(project, "one")
    project.submissions.mkdir()
    for name, runs, score in (
        ("low", ["one"], "0.5"),
        ("high", ["one"], "0.75"),
        ("ensemble", ["one", "two"], "0.9"),
        ("failed", ["one"], None),
    ):
        update_record(project.submissions / f"{name}.csv", runs=runs, public_score=score)
    table = runs_table([read_summary(project, run)], {"one": "one/report.html"})
    cells = dict(zip(table.header, table.rows[0], strict=True))
    assert cells["run"] == ("one", None, "one/report.html")
    assert cells["public score"][:2] == ("0.75", 0.75)
    assert cells["epochs"][:2] == ("4", 4)
    assert cells["parameters"][:2] == ("309,290", 309_290)


def test_runs_table_of_an_unfinished_run_has_no_accuracy(project):
    run = write_run(project, "one")
    run.metrics_file.unlink()
    table = runs_table([read_summary(project, run)], {})
    cells = dict(zip(table.header, table.rows[0], strict=True))
    assert cells["validation accuracy"].text == cells["parameters"].text == ""
    assert cells["epochs"].text == "4 of 4, unfinished"


@pytest.mark.parametrize(
    ("entry", "cells"),
    [
        ({}, ["", "not submitted", "", "", ""]),
        ({"status": "UNKNOWN", "runs": ["a", "b"]}, ["a + b", "unknown", "", "", ""]),
        (
            {
                "status": "COMPLETE",
                "public_score": "0.5",
                "private_score": "0.6",
                "submitted_at": "2026-11-23T09:00:00+00:00",
            },
            ["", "complete", "0.5", "0.6", "2026-11-23 09:00:00"],
        ),
    ],
)
def test_submissions_table_shows_state_and_scores(entry, cells):
    [row] = submissions_table([{"file": "a.csv", **entry}]).rows
    assert [cell.text for cell in row] == ["a.csv", *cells]
