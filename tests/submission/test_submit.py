"""Submitting to the server that stands in for Kaggle."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from requests.adapters import HTTPAdapter

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, ProjectPaths, lock_file
from kaggle_cifar.kaggle.explanations import KaggleError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission import submit as submit_module
from kaggle_cifar.submission.kaggle_calls import REFUSALS, UploadError, is_refusal, why_unknown
from kaggle_cifar.submission.outcome import (
    LOOK_SECONDS,
    NotScoredError,
    RefusedCsvError,
    UnknownOutcomeError,
)
from kaggle_cifar.submission.record import (
    CsvNameError,
    InvalidRecordError,
    State,
    digest_of,
    read_record,
    record_path,
    start_sending,
    update_record,
)
from kaggle_cifar.submission.score import accuracy
from kaggle_cifar.submission.submit import AlreadySubmittedError, ChangedCsvError
from kaggle_cifar.submission.validate import FaultyCsvError
from kaggle_cifar.submission.write import write_submission
from tests.helpers import ROOT
from tests.helpers import kaggle_server as server
from tests.helpers.clocks import Clock
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import ROWS, text_of
from tests.submission.test_score import write_solution
from tests.submission.test_validate import changed, quoted

README = ROOT / "README.md"


@pytest.fixture
def clock(kaggle_site: KaggleSite, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of this program and of the site; late answers take time of it only."""
    kaggle_site.clock = clock = Clock()
    kaggle_site.wait = lambda seconds: None
    send = HTTPAdapter.send

    def send_by_the_clock(adapter: Any, request: Any, **options: Any) -> Any:
        response = send(adapter, request, **options)
        delay = float(response.headers.get(server.DELAY_HEADER, 0))
        _, patience = options["timeout"]
        clock.now += min(delay, patience)
        if delay > patience:
            raise requests.ReadTimeout(request=request)
        return response

    monkeypatch.setattr(HTTPAdapter, "send", send_by_the_clock)
    return clock


@pytest.fixture(autouse=True)
def no_secret_in_output(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    output = "".join(capfd.readouterr())
    assert not [secret for secret in server.SECRETS if secret in output]


Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def submit(project: ProjectPaths, clock: Clock) -> Submit:
    """Submit a CSV by the clock; return its record."""

    def submit(
        csv: Path, wait: float | None = None, message: str = "tuned", **options: Any
    ) -> dict[str, Any]:
        return submit_module.submit(
            csv, project, message, wait, sleep=clock.sleep, clock=clock, **options
        )

    return submit


def test_submits_waits_and_records_the_scores(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, capfd: pytest.CaptureFixture[str]
) -> None:
    update_record(csv, runs=["model3"], views="tta", sha256=digest_of(csv))
    record = submit(csv, wait=60)
    solution = write_solution(csv.parent / "solution.csv", kaggle_site)
    counted = accuracy(csv, solution)
    assert record["public_score"] == str(counted.public)
    assert record["private_score"] == str(counted.private)
    on_disk = json.loads((csv.parent / "model3.json").read_text())
    assert on_disk == {"kaggle-cifar": "submission", **record}
    assert (record["runs"], record["views"]) == (["model3"], "tta")
    assert (record["ref"], record["status"], record["message"]) == (4001, "COMPLETE", "tuned")
    assert record["sha256"] == digest_of(csv)
    assert kaggle_site.submissions[0]["content"] == csv.read_bytes()
    assert kaggle_site.submissions[0]["file_name"] == "model3.csv"
    printed = capfd.readouterr().out.replace(str(csv), "submissions/model3-tuned.csv")
    assert numbers_masked(printed) in numbers_masked(README.read_text())


def numbers_masked(text: str) -> str:
    """Return the text without indents and with 0 for every number."""
    return re.sub(r"\d+(\.\d+)?", "0", re.sub(r"^ +", "", text, flags=re.MULTILINE))


def test_the_number_of_submissions_left_is_optional(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    kaggle_site.left_today = None
    assert submit(csv)["status"] == "PENDING"


def test_default_message_names_the_file(
    kaggle_site: KaggleSite, csv: Path, project: ProjectPaths, clock: Clock
) -> None:
    submit_module.submit(csv, project)
    token = read_record(csv)["token"]
    assert kaggle_site.submissions[0]["description"] == f"model3.csv [{token}]"


def test_a_csv_with_faults_is_refused(kaggle_site: KaggleSite, csv: Path, submit: Submit) -> None:
    csv.write_text(text_of(ROWS[:-1]))
    with pytest.raises(FaultyCsvError) as caught:
        submit(csv)
    assert caught.value.faults[0].startswith("missing ids: 1")
    assert kaggle_site.requests == []


def test_a_missing_csv_leaves_nothing(csv: Path, submit: Submit) -> None:
    with pytest.raises(UserError, match=r"none\.csv"):
        submit(csv.parent / "new" / "none.csv")
    assert list(csv.parent.iterdir()) == [csv]


@pytest.mark.parametrize(
    ("content", "is_doubtful"),
    [
        (quoted(text_of(ROWS)), False),
        (text_of(ROWS) + "\n\n", False),
        (text_of([f"{row},0.9" for row in ROWS], "id,label,confidence"), True),
        ("\ufeff" + text_of(ROWS), True),
    ],
)
def test_a_doubtful_csv_is_submitted_after_a_warning(
    csv: Path, submit: Submit, capfd: pytest.CaptureFixture[str], content: str, is_doubtful: bool
) -> None:
    csv.write_text(content)
    assert submit(csv, wait=60)["status"] == "COMPLETE"
    assert ("Warning" in capfd.readouterr().out) == is_doubtful


def test_a_foreign_json_in_the_records_place_is_refused(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    csv.with_suffix(".json").write_text("[]")
    with pytest.raises(ForeignPathError):
        submit(csv)
    with pytest.raises(CsvNameError):
        submit(csv.with_suffix(".json"))
    assert kaggle_site.submissions == []
    assert csv.with_suffix(".json").read_text() == "[]"


def test_only_the_one_csv_is_locked(csv: Path, submit: Submit) -> None:
    other = csv.with_name("other.csv")
    other.write_text(text_of(changed(3, "2,truck")))
    with lock_file(other, "submission"):
        with pytest.raises(BusyError):
            submit(other)
        assert submit(csv)["ref"] == 4001


def test_the_same_file_is_not_submitted_twice(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, capfd: pytest.CaptureFixture[str]
) -> None:
    submit(csv)
    record = submit(csv, wait=60)
    assert len(kaggle_site.submissions) == 1
    assert record["status"] == "COMPLETE"
    assert "submitted before, with the reference 4001" in capfd.readouterr().out


def test_an_edited_csv_is_submitted_and_keeps_its_old_record(csv: Path, submit: Submit) -> None:
    update_record(csv, runs=["model3"], sha256=digest_of(csv))
    first = submit(csv, wait=60)
    content = csv.read_text()
    csv.write_text(text_of(changed(3, "2,truck")))
    second = submit(csv, wait=60)
    assert second["ref"] == 4002
    assert second["earlier"] == [first]
    assert "runs" not in second  # no run predicted the edited rows
    csv.write_text(content)
    with pytest.raises(AlreadySubmittedError) as caught:
        submit(csv)
    assert (caught.value.file, caught.value.ref) == ("model3.csv", 4001)
    third = submit(csv, again=True)
    assert [part["ref"] for part in third["earlier"]] == [4001, 4002]


@pytest.mark.parametrize(
    "case",
    ["copied", "moved", "hard link", "elsewhere", "below", "moved with its record", "record lost"],
)
def test_a_content_is_known_wherever_its_csv_is(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, project: ProjectPaths, case: str
) -> None:
    folder = {"elsewhere": "data", "below": "submissions/old"}.get(case, "submissions")
    other = csv.parent.parent / folder / "other.csv"
    other.parent.mkdir(exist_ok=True)
    if case == "below":
        shutil.copy(csv, other)
        csv, other = other, csv
    submit(csv)
    name, content = csv.name, csv.read_bytes()
    if case in ("copied", "elsewhere"):
        shutil.copy(csv, other)
    elif case == "moved":
        csv.rename(other)
    elif case == "hard link":
        os.link(csv, other)
    elif case == "moved with its record":
        for path in (csv, csv.with_suffix(".json")):
            path.rename(project.data / path.name)
        other.write_bytes(content)
    elif case == "record lost":
        csv.with_suffix(".json").unlink()
        other = csv
    with pytest.raises(AlreadySubmittedError) as caught:
        submit(other)
    assert caught.value.file == name
    assert len(kaggle_site.submissions) == 1
    assert submit(other, again=True)["ref"] == 4002


def test_a_link_leads_to_the_same_submission(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, project: ProjectPaths
) -> None:
    link = project.data / "link.csv"
    link.symlink_to(csv)
    assert submit(link)["ref"] == 4001
    assert submit(csv)["ref"] == 4001
    assert submit(link)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1
    assert not link.with_suffix(".json").exists()


def test_two_processes_do_not_send_the_same_content(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = csv.with_name("other.csv")
    shutil.copy(csv, other)
    upload = submit_module.upload

    def upload_while_another_starts(api: Any, path: Path) -> str:
        start_sending(other, digest_of(other), token="another")
        return upload(api, path)

    monkeypatch.setattr(submit_module, "upload", upload_while_another_starts)
    with pytest.raises(AlreadySubmittedError) as caught:
        submit(csv)
    assert (caught.value.file, caught.value.ref) == ("other.csv", None)
    assert kaggle_site.submissions == []
    assert read_record(csv)["status"] == State.NOT_SENT


def test_a_csv_that_changes_during_its_upload_is_not_submitted(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = submit_module.upload

    def upload_and_edit(api: Any, path: Path) -> str:
        token = upload(api, path)
        path.write_text(text_of(changed(3, "2,truck")))
        return token

    monkeypatch.setattr(submit_module, "upload", upload_and_edit)
    with pytest.raises(ChangedCsvError):
        submit(csv)
    assert kaggle_site.submissions == []


def test_again_submits_once_more_and_keeps_the_first_record(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    first = submit(csv)
    second = submit(csv, again=True)
    assert second["earlier"] == [first]
    assert second["token"] != first["token"]
    assert len(kaggle_site.submissions) == 2


@pytest.mark.parametrize(
    "fault", [server.refuse(400), server.refuse(503), server.redirect_in_a_circle]
)
def test_a_failed_upload_leaves_no_record(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, fault: server.Fault
) -> None:
    kaggle_site.put_faults = [fault]
    with pytest.raises(UploadError):
        submit(csv)
    assert read_record(csv) == {}
    assert submit(csv)["ref"] == 4001


# -- answers that are late or lost


AFTER_THE_FACT = (
    server.lose_answer,
    *map(server.redirect_afterwards, (302, 307)),
    *map(server.refuse_afterwards, (404, 408, 502)),
    server.answer_late(3_000),
)


def test_only_some_statuses_are_refusals() -> None:
    errors = {}
    for status in range(300, 600):
        response = requests.Response()
        response.status_code = status
        errors[status] = requests.HTTPError(response=response)
    assert {status for status, error in errors.items() if is_refusal(error)} == REFUSALS
    assert not {301, 302, 307, 404, 408, 409, 425, 499, 500, 502, 503, 504, 520} & REFUSALS


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ReadTimeout(), "within 10 minutes"),
        (requests.ConnectionError(), "the connection was lost"),
        (requests.TooManyRedirects(), "did not come from Kaggle"),
    ],
)
def test_an_unclear_answer_is_explained(error: Exception, words: str) -> None:
    assert words in why_unknown(error)


@pytest.mark.parametrize("method", ["CreateSubmission", "StartSubmissionUpload"])
def test_an_answer_after_40_seconds_is_waited_for(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, clock: Clock, method: str
) -> None:
    kaggle_site.api_faults[method] = [server.answer_late(40)]
    assert submit(csv)["ref"] == 4001
    assert clock.now == 40
    assert kaggle_site.count("CreateSubmission") == 1
    assert kaggle_site.count("ListSubmissions") == 0


@pytest.mark.parametrize("fault", AFTER_THE_FACT)
def test_a_submission_without_a_clear_answer_is_found(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, fault: server.Fault
) -> None:
    kaggle_site.list_lag = 20
    kaggle_site.listed = {"file_name": "another.csv", "content": b"", "date": None}
    kaggle_site.api_faults["CreateSubmission"] = [fault]
    assert submit(csv, wait=60)["status"] == "COMPLETE"
    assert len(kaggle_site.submissions) == 1


@pytest.mark.parametrize(
    "fault", [server.lose_answer, server.drop, server.page_instead, server.answer_late(3_000)]
)
def test_a_submission_that_is_not_listed_is_not_sent_again(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, clock: Clock, fault: server.Fault
) -> None:
    kaggle_site.list_lag = 100_000
    kaggle_site.api_faults["CreateSubmission"] = [fault]
    for _ in range(2):
        before = clock.now
        with pytest.raises(UnknownOutcomeError) as caught:
            submit(csv)
        record = read_record(csv)
        assert (caught.value.path, caught.value.token) == (csv, record["token"])
        assert record["status"] == State.UNKNOWN
        assert clock.now - before > 0.9 * LOOK_SECONDS
    assert kaggle_site.count("CreateSubmission") == 1


def test_an_answer_without_a_reference_is_looked_up(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    def create_and_answer_nothing(handler: server.Handler) -> None:
        handler.mute = True
        handler.dispatch_api()
        handler.mute = False
        server.answer_json({"message": "Successfully submitted"})(handler)

    kaggle_site.api_faults["CreateSubmission"] = [create_and_answer_nothing]
    assert submit(csv)["ref"] == 4001
    assert kaggle_site.count("CreateSubmission") == 1


def test_again_sends_what_is_not_listed(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, clock: Clock
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.drop]
    with pytest.raises(UnknownOutcomeError):
        submit(csv)
    before = clock.now
    record = submit(csv, again=True)
    assert record["ref"] == 4001
    assert [part["status"] for part in record["earlier"]] == [State.UNKNOWN]
    assert clock.now == before  # one look was enough


def test_again_sends_nothing_if_the_first_is_found(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, clock: Clock
) -> None:
    kaggle_site.list_lag = 1_000
    kaggle_site.api_faults["CreateSubmission"] = [server.lose_answer]
    with pytest.raises(UnknownOutcomeError):
        submit(csv)
    clock.now += 1_000
    assert submit(csv, again=True)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


@pytest.mark.parametrize("again", [False, True])
def test_a_run_after_a_kill_looks_in_the_list(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    create = submit_module.create

    def create_and_die(*arguments: Any) -> int:
        assert read_record(csv)["status"] == State.SENDING  # on the disk before the request
        create(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(submit_module, "create", create_and_die)
        with pytest.raises(KeyboardInterrupt):
            submit(csv)
    kaggle_site.list_lag = 120
    assert submit(csv, again=again)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


def test_an_unknown_outcome_counts_under_another_name(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.drop]
    with pytest.raises(UnknownOutcomeError):
        submit(csv)
    other = csv.with_name("other.csv")
    shutil.copy(csv, other)
    with pytest.raises(AlreadySubmittedError) as caught:
        submit(other)
    assert caught.value.ref is None


def test_a_list_that_cannot_be_read_is_read_again(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.lose_answer]
    kaggle_site.api_faults["ListSubmissions"] = [server.refuse(400), server.drop]
    assert submit(csv)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


def test_a_list_that_stays_unreadable_leaves_it_unknown(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, capfd: pytest.CaptureFixture[str]
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.lose_answer]
    kaggle_site.api_faults["ListSubmissions"] = [server.drop] * 1_000
    with pytest.raises(UnknownOutcomeError, match="list could not be read"):
        submit(csv)
    assert "It is unknown whether Kaggle has" in capfd.readouterr().out
    kaggle_site.api_faults.clear()
    assert submit(csv, wait=60)["ref"] == 4001
    assert len(kaggle_site.submissions) == 1


def test_without_a_connection_nothing_is_submitted(
    csv: Path, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody_there(*_: Any) -> int:
        raise requests.ConnectTimeout("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(submit_module, "create", nobody_there)
        with pytest.raises(KaggleError):
            submit(csv)
    assert read_record(csv)["status"] == State.NOT_SENT
    assert submit(csv)["ref"] == 4001


@pytest.mark.parametrize(("status", "key"), [("SENDING", "token"), ("PENDING", "ref")])
def test_a_record_without_a_required_value_is_named(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, status: str, key: str
) -> None:
    update_record(csv, sha256=digest_of(csv), status=status)
    with pytest.raises(InvalidRecordError) as caught:
        submit(csv)
    assert (caught.value.path, caught.value.key) == (record_path(csv), key)
    assert kaggle_site.submissions == []


# -- refusals and scores


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_a_refused_request_is_explained_and_can_be_repeated(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, status: int
) -> None:
    kaggle_site.api_faults["CreateSubmission"] = [server.refuse(status)]
    with pytest.raises(KaggleError) as caught:
        submit(csv)
    assert caught.value.status == status
    assert read_record(csv)["status"] == State.NOT_SENT
    assert submit(csv)["ref"] == 4001


def test_a_csv_that_kaggle_cannot_score_is_an_error(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    kaggle_site.solution[99] = ("cat", "Public")
    for _ in range(2):
        with pytest.raises(RefusedCsvError, match="The ids are not those") as caught:
            submit(csv, wait=60)
        assert caught.value.ref == 4001
        assert read_record(csv)["status"] == "ERROR"
    assert len(kaggle_site.submissions) == 1


def test_waiting_ends_after_its_time(
    kaggle_site: KaggleSite, csv: Path, submit: Submit, clock: Clock
) -> None:
    kaggle_site.pending_polls = 10**9
    with pytest.raises(NotScoredError) as caught:
        submit(csv, wait=90)
    assert caught.value.ref == 4001
    assert clock.now <= 90
    assert read_record(csv)["status"] == "PENDING"
    kaggle_site.pending_polls = 0
    assert submit(csv, wait=90)["status"] == "COMPLETE"


def test_waiting_continues_after_problems_at_kaggle(
    kaggle_site: KaggleSite, csv: Path, submit: Submit
) -> None:
    kaggle_site.api_faults["GetSubmission"] = [server.refuse(502), server.drop]
    assert submit(csv, wait=60)["status"] == "COMPLETE"


def test_kaggles_own_command_takes_the_csv(
    kaggle_site: KaggleSite, csv: Path, project: ProjectPaths
) -> None:
    csv.unlink()
    write_submission(csv, np.arange(40, 0, -1), np.arange(40) % 10, ["model3"])
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
