"""The tables of runs and submissions on the pages."""

import pytest

from kaggle_cifar.files import write_record
from kaggle_cifar.report.ledger import run_values, runs_table
from kaggle_cifar.report.reading import read_summary
from kaggle_cifar.submission.leaderboard import leaderboard_file
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


def keep_leaderboard(project):
    """Write the leaderboard of three teams, as a scored submission does."""
    content = {"date": "2026-11-24T10:00:00+00:00", "private": [0.95, 0.9, 0.8], "public": [0.9]}
    write_record(leaderboard_file(project.submissions), "leaderboard", content)


def test_run_values_have_rank_and_expected_score(project):
    write_run(project, "one")
    write_run(project, "unscored")
    keep_leaderboard(project)
    csv = project.submissions / "one.csv"
    update_record(csv, runs=["one"], public_score="0.96", private_score="0.96")
    [one, unscored], _ = run_values(project)
    assert (one["rank"], one["gap_to_first"]) == (1, pytest.approx(-0.01))
    assert one["expected_score_low"] < one["expected_score_high"]
    assert (unscored["rank"], unscored["gap_to_first"]) == (None, None)
