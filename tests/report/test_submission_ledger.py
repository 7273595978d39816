"""The table of submissions, for the terminal and for the pages."""

import pytest

from kaggle_cifar.report import submission_ledger
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.submission_ledger import submissions_table
from kaggle_cifar.submission.record import update_record
from tests.helpers.small_runs import write_run
from tests.report.test_ledger import keep_leaderboard


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
def test_submissions_table_shows_state_and_scores(project, entry, cells):
    [row] = submissions_table(Expectations.read(project), [{"file": "a.csv", **entry}]).rows
    assert [cell.text for cell in row] == ["a.csv", *cells]


def test_submissions_table_shows_rank_and_expected_score(project):
    write_run(project, "one")
    keep_leaderboard(project)
    entry = {"file": "one.csv", "runs": ["one"], "status": "COMPLETE", "private_score": "0.85"}
    shown = submissions_table(Expectations.read(project), [entry])
    cells = dict(zip(shown.header, shown.rows[0], strict=True))
    assert cells["rank"][:2] == ("3 of 3", 3)
    assert cells["gap to first"] == ("0.1000 behind", pytest.approx(0.1), None)
    low, _, high = cells["expected"].text.split()
    assert float(low) == pytest.approx(cells["expected"].value, abs=0.001) and high > low


def write_csv(project, name):
    project.submissions.mkdir(exist_ok=True)
    path = project.submissions / f"{name}.csv"
    path.write_text("id,label\n")
    return path


def test_submissions_show_their_validation_accuracy(project):
    run = write_run(project, "run")
    write_csv(project, "never-submitted")
    update_record(
        write_csv(project, "one"),
        runs=["run"],
        submitted_at="2026-11-23T09:00:00+00:00",
        status="COMPLETE",
        public_score="0.84620",
        private_score="0.84100",
    )
    header, row, note = submission_ledger.describe_submissions(project).splitlines()
    assert header.split()[:5] == ["submission", "validation", "expected", "public", "private"]
    accuracy = run.read_validation_accuracy()
    low, high = Expectations.read(project).of_run("run").interval
    words = f"one {accuracy:.4f} {low:.3f} to {high:.3f} 0.84620 0.84100 complete"
    assert row.split() == [*words.split(), "2026-11-23", "09:00:00"]
    assert note == submission_ledger.EXPECTED_NOTE


def test_submissions_show_their_rank(project):
    keep_leaderboard(project)
    scores = {"public_score": "0.85", "private_score": "0.85", "status": "COMPLETE"}
    update_record(write_csv(project, "one"), **scores)
    header, row, note = submission_ledger.describe_submissions(project).splitlines()
    assert "expected" not in header
    assert row.split() == ["one", "0.85", "0.85", "3", "of", "3", "0.1000", "behind", "complete"]
    assert "private" in note and "2026-11-24" in note


@pytest.mark.parametrize(
    "content",
    [
        '{"kaggle-cifar": "submission", "status": "COMPLETE", "submitted_at": 7}',
        '{"kaggle-cifar": "submission", "runs": ["one',
        "[]",
    ],
)
def test_corrupt_record_of_a_submission_is_named(project, content):
    for name in ("corrupt", "intact"):
        write_csv(project, name)
    update_record(project.submissions / "intact.csv", status="COMPLETE", public_score="0.5")
    (project.submissions / "corrupt.json").write_text(content)
    (project.submissions / "foreign.json").write_text("{}")  # without a CSV it is ignored
    _, row, problem = submission_ledger.describe_submissions(project).splitlines()
    assert row.split()[:2] == ["intact", "0.5"]
    assert str(project.submissions / "corrupt.json") in problem


def test_earlier_submissions_of_a_file_are_shown(project):
    earlier = [{"status": "COMPLETE", "public_score": "0.1"}]
    project.submissions.mkdir()
    update_record(project.submissions / "moved-away.csv", status="UNKNOWN", earlier=earlier)
    _, *rows = submission_ledger.describe_submissions(project).splitlines()
    assert [row.split() for row in rows] == [
        ["moved-away", "0.1", "complete"],
        ["moved-away", "unknown"],
    ]
