"""Submissions as objects."""

import pytest

import kaggle_cifar as kc
from kaggle_cifar.submission.validate import FaultyCsvError


@pytest.fixture
def submission(csv, project):
    kc.set_folders(project.data, project.runs, project.submissions)
    return kc.Submission(csv)


def test_check_returns_the_number_of_rows(submission, csv):
    assert submission.check() == 40
    csv.write_text("id,label\n1,cat\n")
    with pytest.raises(FaultyCsvError):
        submission.check()


def test_submission_is_sent_once_and_scored(submission, kaggle_site, capsys):
    assert submission.scores == {}
    submission.submit("first try")
    assert submission.submit(wait=True).scores.keys() == {"public", "private"}
    assert len(kaggle_site.submissions) == 1
    shown = submission._repr_html_()
    assert "public score" in shown
    assert "complete" in repr(submission)


def test_changed_csv_has_no_scores(submission, kaggle_site, csv):
    submission.submit(wait=True)
    csv.write_text(csv.read_text().replace("cat", "dog"))
    assert submission.scores == {}


def test_missing_csv_is_named(submission, csv):
    csv.unlink()
    assert "missing" in repr(submission)
    assert "missing" in submission._repr_html_()
    with pytest.raises(kc.UserError):
        submission.check()


@pytest.mark.parametrize("arguments", [{"message": 3}, {"wait": 1}, {"again": "no"}])
def test_wrong_types_are_refused(submission, arguments):
    with pytest.raises(TypeError, match="must be"):
        submission.submit(**arguments)
