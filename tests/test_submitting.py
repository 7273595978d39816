"""Submitting to the site that stands in for Kaggle: once, recorded, waited for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kaggle_server as server
import numpy as np
import pytest
from clocks import Clock
from kaggle_server import KaggleSite
from small_data import ROWS, text_of
from test_submission import changed, write_solution

from kaggle_cifar import submission, submitting
from kaggle_cifar.errors import UserError
from kaggle_cifar.storage import Layout


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_secret_in_output(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in server.SECRETS if secret in output]


def submit(
    csv: Path, layout: Layout, clock: Clock, wait: float | None = None, message: str = "tuned"
) -> dict[str, Any]:
    return submitting.submit(csv, layout, message, wait, sleep=clock.sleep, clock=clock)


def test_submits_waits_and_records_the_scores(
    kaggle_site: KaggleSite,
    csv: Path,
    layout: Layout,
    clock: Clock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    submission.update_record(csv, runs=["model3"])
    record = submit(csv, layout, clock, wait=60)
    solution = write_solution(csv.parent / "solution.csv", kaggle_site)
    counted = submission.accuracy(csv, solution)
    assert record["public_score"] == str(counted.public)
    assert record["private_score"] == str(counted.private)
    assert record == json.loads((csv.parent / "model3.json").read_text())
    assert record["runs"] == ["model3"]
    assert (record["ref"], record["status"], record["message"]) == (4001, "COMPLETE", "tuned")
    assert record["sha256"] == submission.digest_of(csv)
    assert kaggle_site.submissions[0]["content"] == csv.read_bytes()
    assert "Submissions left today: 4." in capfd.readouterr().out


def test_does_without_the_number_of_submissions_left(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.left_today = None
    assert submit(csv, layout, clock)["status"] == "PENDING"


def test_default_message_names_the_file(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    submitting.submit(csv, layout)
    assert kaggle_site.submissions[0]["description"] == "model3.csv"


def test_refuses_a_csv_with_faults(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    csv.write_text(text_of(ROWS[:-1]))
    with pytest.raises(UserError, match="ids missing: 1"):
        submit(csv, layout, clock)
    assert kaggle_site.requests == []


def test_the_same_file_is_not_submitted_twice(
    kaggle_site: KaggleSite,
    csv: Path,
    layout: Layout,
    clock: Clock,
    capfd: pytest.CaptureFixture[str],
) -> None:
    submit(csv, layout, clock)
    record = submit(csv, layout, clock, wait=60)
    assert len(kaggle_site.submissions) == 1
    assert record["status"] == "COMPLETE"
    assert "submitted already, with the reference 4001" in capfd.readouterr().out


def test_a_changed_file_is_submitted_again(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    submit(csv, layout, clock)
    csv.write_text(text_of(changed(3, "2,truck")))
    assert submit(csv, layout, clock)["ref"] == 4002


@pytest.mark.parametrize("fault", [server.refuse(400), server.refuse(503)])
def test_a_failed_upload_is_no_success(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock, fault: server.Fault
) -> None:
    kaggle_site.put_faults = [fault]
    with pytest.raises(UserError, match="the upload did not reach"):
        submit(csv, layout, clock)
    assert submission.read_record(csv)["ref"] is None
    assert submit(csv, layout, clock)["ref"] == 4001


def test_a_submission_whose_answer_was_lost_is_found_again(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.lose_answer]
    assert submit(csv, layout, clock)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


def test_a_lost_answer_is_looked_up_in_the_next_run(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.lose_answer]
    kaggle_site.api_faults["ListSubmissions"] = [server.refuse(400)]
    with pytest.raises(UserError, match="the connection to localhost broke off"):
        submit(csv, layout, clock)
    assert submit(csv, layout, clock, wait=60)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


def test_a_connection_lost_before_the_submission_allows_the_next(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.drop]
    with pytest.raises(UserError, match="broke off"):
        submit(csv, layout, clock)
    assert submit(csv, layout, clock)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (server.refuse(403, "accept the rules"), "rules"),
        (server.refuse(401), "does not accept the key"),
        (server.refuse(429, "daily limit", Retry_After="90"), "daily limit"),
        (server.refuse(400, "deadline has passed"), "deadline has passed"),
    ],
)
def test_refusals_are_explained_and_cost_nothing(
    kaggle_site: KaggleSite,
    csv: Path,
    layout: Layout,
    clock: Clock,
    fault: server.Fault,
    words: str,
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [fault]
    with pytest.raises(UserError, match=words):
        submit(csv, layout, clock)
    assert submit(csv, layout, clock)["ref"] == 4001


def test_a_file_that_kaggle_refuses_after_the_upload(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.solution[99] = ("cat", "Public")
    with pytest.raises(UserError, match="The ids are not those of the solution"):
        submit(csv, layout, clock, wait=60)
    assert submission.read_record(csv)["status"] == "ERROR"
    with pytest.raises(UserError, match="refused this very file before"):
        submit(csv, layout, clock, wait=60)
    assert len(kaggle_site.submissions) == 1


def test_waiting_ends_after_its_time(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.pending_polls = 10**9
    with pytest.raises(UserError, match=r"reference 4001\) within 1 min 30 s") as caught:
        submit(csv, layout, clock, wait=90)
    assert "--wait" in str(caught.value)
    assert clock.now <= 90
    assert submission.read_record(csv)["status"] == "PENDING"
    kaggle_site.pending_polls = 0
    assert submit(csv, layout, clock, wait=90)["status"] == "COMPLETE"


def test_waiting_survives_trouble_at_kaggle(
    kaggle_site: KaggleSite, csv: Path, layout: Layout, clock: Clock
) -> None:
    kaggle_site.api_faults["GetSubmission"] = [server.refuse(502), server.drop]
    assert submit(csv, layout, clock, wait=60)["status"] == "COMPLETE"


def test_kaggles_own_command_takes_the_csv_unchanged(
    kaggle_site: KaggleSite, csv: Path, layout: Layout
) -> None:
    submission.write_submission(csv, np.arange(40, 0, -1), np.arange(40) % 10, ["model3"])
    kaggle = Path(sys.executable).with_name("kaggle")
    done = subprocess.run(
        [kaggle, "competitions", "submit", "-c", "cifar-10", "-m", "tuned", "-f", csv],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Successfully submitted" in done.stdout
    assert kaggle_site.submissions[0]["content"] == csv.read_bytes()
    server.score(csv.read_bytes(), kaggle_site.solution)
