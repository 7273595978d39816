"""Submitting a CSV to Kaggle, once, and waiting for its scores."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kaggle_cifar import competition, storage, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle_client import call, open_client, status_of
from kaggle_cifar.keras_source import source_file
from kaggle_cifar.progress import duration, say
from kaggle_cifar.storage import Layout
from kaggle_cifar.submission import check, digest_of, read_record, record_path, update_record

FIRST_POLL, LONGEST_POLL = 2.0, 15.0  # seconds between two looks at a submission
CLOCK_SLACK = timedelta(hours=1)  # by which this machine's clock may differ from Kaggle's


def submit(
    path: Path,
    layout: Layout,
    message: str | None = None,
    wait_seconds: float | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Check a CSV, submit it, wait for its scores if asked, and return its record.

    A file that was submitted before is not submitted again: its scores are waited for.

    Raises
    ------
    UserError
        When the file has faults, Kaggle refuses it or the time is over.
    """
    refuse_public_data(layout)
    refuse_faults(path, layout)
    with storage.lock(path.absolute().parent, "submission"):
        api = open_client()
        record = submit_once(api, path, message or path.name)
        if wait_seconds is None:
            return record
        return wait_for_scores(api, path, record["ref"], wait_seconds, sleep, clock)


def refuse_public_data(layout: Layout) -> None:
    """Raise a UserError when the data is the public CIFAR-10 instead of Kaggle's."""
    if source_file(layout).exists():
        raise UserError(
            f"Nothing was submitted: {layout.data} holds the public CIFAR-10 from keras.datasets. "
            "Its test images have other ids than Kaggle's, and their labels are public: it is for "
            "trying things out. Download Kaggle's files to another --data-dir and predict those."
        )


def refuse_faults(path: Path, layout: Layout) -> None:
    """Raise a UserError that names every fault of a CSV; tell its warnings."""
    result = check(path, tables.expected_ids(layout))
    if result.faults:
        faults = "\n".join(f"  {fault}" for fault in result.faults)
        raise UserError(f"{path} was not submitted, because Kaggle would refuse it:\n{faults}")
    for warning in result.warnings:
        say(f"Warning: {warning}")


def submit_once(api: Any, path: Path, message: str) -> dict[str, Any]:
    """Submit a CSV unless this very file was submitted before; return its record."""
    digest = digest_of(path)
    record = read_record(path)
    if record.get("sha256") == digest and record.get("submitted_at"):
        record = record if record.get("ref") else adopt(api, path, record)
        if record.get("ref"):
            refuse_failed(path, record)
            say(f"{path} was submitted already, with the reference {record['ref']}.")
            return record
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = update_record(
        path,
        sha256=digest,
        message=message,
        submitted_at=now,
        ref=None,
        status="SENDING",
        public_score=None,
        private_score=None,
    )
    return send(api, path, record)


def refuse_failed(path: Path, record: dict[str, Any]) -> None:
    """Raise a UserError when the file of a record was refused by Kaggle before."""
    if record.get("status") == "ERROR":
        raise UserError(
            f"Kaggle refused this very file before (reference {record['ref']}): "
            f"{record.get('error_description') or 'it gave no reason'}. "
            f"Predict again, or delete {record_path(path)} to submit it once more."
        )


def send(api: Any, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Upload a CSV and record Kaggle's reference at once.

    The request that makes the submission is sent once: whether it arrived is looked up, not
    guessed, because a second one would cost one of the day's submissions.
    """
    doing = f"Submitting {path}"
    try:
        response = call(
            api.competition_submit,
            str(path),
            record["message"],
            competition.SLUG,
            True,
            doing=doing,
            attempts=1,
        )
    except UserError as error:
        if is_certain(error.__cause__):
            forget(path)
            raise
        try:
            found = adopt(api, path, record)
        except UserError:
            found = {}
        if not found.get("ref"):
            raise
        return announce(api, path, found)
    if response.message == api.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        forget(path)
        raise UserError(
            f"{doing} failed: the upload did not reach Kaggle's storage. Nothing was submitted and "
            "no submission of the day is used up. Check the network and run this again."
        )
    if response.ref:
        return announce(api, path, update_record(path, ref=int(response.ref), status="PENDING"))
    found = adopt(api, path, record)
    if not found.get("ref"):
        forget(path)
        raise UserError(f"{doing} failed: Kaggle answered {response.message[:200]!r}.")
    return announce(api, path, found)


def is_certain(error: BaseException | None) -> bool:
    """Whether an error tells that no submission was made: Kaggle answered with a refusal."""
    status = status_of(error) if error else None
    return status is not None and status < 500


def forget(path: Path) -> None:
    """Record that nothing was submitted."""
    update_record(path, submitted_at=None, status="NOT SENT")


def announce(api: Any, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Tell that a CSV was submitted and, where Kaggle tells it, what is left for today."""
    say(f"{path} was submitted; its reference is {record['ref']}.")
    try:
        limits = call(
            api.competition_get_submission_limits, competition.SLUG, doing="limits", attempts=1
        )
        say(f"Submissions left today: {int(limits.num_allowed_now)}.")
    except (UserError, AttributeError, TypeError):
        pass  # nice to know, never worth a failure
    return record


def adopt(api: Any, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Find a submission whose answer was lost in Kaggle's list and record its reference."""
    submissions = call(
        api.competition_submissions, competition.SLUG, doing="Looking for the submission"
    )
    earliest = datetime.fromisoformat(record["submitted_at"]) - CLOCK_SLACK
    for submission in submissions or []:
        date = submission.date
        if (
            submission.file_name == path.name
            and submission.description == record["message"]
            and (not submission.total_bytes or submission.total_bytes == path.stat().st_size)
            and (date is None or date.replace(tzinfo=date.tzinfo or UTC) >= earliest)
        ):
            return update_record(path, **news_of(submission))
    return record


def news_of(submission: Any) -> dict[str, Any]:
    """Return what a record holds of a submission of Kaggle's; scores are strings, as shown."""
    return {
        "ref": int(submission.ref),  # typed as an integer, but not converted to one
        "status": submission.status.name,
        "public_score": submission.public_score or None,
        "private_score": submission.private_score or None,
        "error_description": submission.error_description or None,
    }


def wait_for_scores(
    api: Any,
    path: Path,
    ref: int,
    wait_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Look at a submission until Kaggle has scored or refused it, and record what it says.

    Raises
    ------
    UserError
        When Kaggle refuses the file or has not scored it after `wait_seconds`.
    """
    deadline = clock() + wait_seconds
    pause = FIRST_POLL
    while True:
        submission = call(look_up, api, ref, doing=f"Looking at submission {ref}", sleep=sleep)
        record = update_record(path, **news_of(submission))
        if record["status"] == "COMPLETE":
            say(", ".join(scores_of(record)))
            return record
        if record["status"] == "ERROR":
            raise UserError(
                f"Kaggle refused {path} (reference {ref}): "
                f"{record['error_description'] or 'it gave no reason'}. "
                f"See {competition.PAGE}/submissions"
            )
        if clock() + pause > deadline:
            raise UserError(
                f"Kaggle has not scored {path} (reference {ref}) within {duration(wait_seconds)}. "
                f"It is submitted: run `kaggle-cifar submit {path} --wait` later, which submits "
                f"nothing again, or look at {competition.PAGE}/submissions"
            )
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)


def scores_of(record: dict[str, Any]) -> list[str]:
    """Return a few words on each score that Kaggle shows; a private one may be hidden."""
    shown = [
        f"{part} score {record[f'{part}_score']}"
        for part in ("public", "private")
        if record[f"{part}_score"]
    ]
    return shown or ["scored, but Kaggle shows no score"]


def look_up(api: Any, ref: int) -> Any:
    """Return Kaggle's submission with this reference."""
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    request = ApiGetSubmissionRequest()
    request.ref = ref
    with api.build_kaggle_client() as kaggle:
        return kaggle.competitions.competition_api_client.get_submission(request)
