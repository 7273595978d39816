"""Submitting a CSV to Kaggle, once, and waiting for its scores.

A submission costs one of the day's few. So the request that makes one is never sent twice by
itself: its state is on the disk before it is sent, and a request without a clear answer is looked
for in Kaggle's list, by a token in its description, until that is given up as unknown.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaggle_cifar import competition, storage, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle_client import TIMEOUT, call, open_client, status_of
from kaggle_cifar.keras_source import source_file
from kaggle_cifar.progress import duration, say
from kaggle_cifar.storage import Layout
from kaggle_cifar.submission import check
from kaggle_cifar.submission_record import (
    AT_KAGGLE,
    MAYBE_SENT,
    UNCERTAIN,
    InvalidRecordError,
    State,
    all_entries,
    change_state,
    digest_of,
    read_record,
    record_path,
    require_csv_path,
    start_sending,
    state_of,
)

FIRST_POLL, LONGEST_POLL = 2.0, 15.0  # seconds between two looks at a submission
LOOK_SECONDS = 300.0  # Kaggle's list may lag behind a submission
LISTED = 100  # of the newest submissions
NO_CLEAR_ANSWER = "an earlier run ended without a clear answer"

# The kaggle client waits for these answers without an end. Ten minutes are longer than a proxy
# or a load balancer lets any answer take, and still tell a user that a line is dead.
PATIENT = (TIMEOUT[0], 600.0)

# With these Kaggle, or a proxy on the way to it, refuses a request without acting on it. Any
# other status may come after the submission was made: 408, 499, and 5xx of a proxy above all.
REFUSALS = frozenset({400, 401, 403, 404, 405, 407, 411, 413, 414, 415, 422, 429, 431})


class FaultyCsvError(UserError):
    """A CSV has faults for which Kaggle refuses it; `faults` holds a sentence for each."""

    def __init__(self, path: Path, faults: list[str]) -> None:
        listed = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"{path} was not submitted, because Kaggle would refuse it:\n{listed}")
        self.faults = faults


class AlreadySubmittedError(UserError):
    """The content of a CSV was or may have been submitted before; `file` and `ref` say as what."""

    def __init__(self, path: Path, entry: dict[str, Any]) -> None:
        self.file, self.ref = entry["file"], entry.get("ref")
        was = f"was submitted (reference {self.ref})" if self.ref else "may have been submitted"
        super().__init__(
            f"{path} was not submitted: its content {was} as {self.file}. Submitting it again "
            "uses another of the day's submissions. Use --again to do so."
        )


class RefusedCsvError(UserError):
    """Kaggle has a submission and could not score it; `ref` is its reference."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.ref = record["ref"]
        super().__init__(
            f"Kaggle refused {path} (reference {self.ref}): "
            f"{record.get('error_description') or 'it gave no reason'}. "
            f"See {competition.PAGE}/submissions. Use --again to submit the same file once more."
        )


class UnknownOutcomeError(UserError):
    """Nobody can say whether Kaggle has a submission; `token` is in its description."""

    def __init__(self, path: Path, record: dict[str, Any], reason: str, looked: str) -> None:
        self.path, self.token = path, record["token"]
        super().__init__(
            f"It is unknown whether Kaggle has {path}: {reason}, and {looked}. Nothing is sent "
            "again by itself. Run the same command later: it looks for the submission first. Or "
            f"look at {competition.PAGE}/submissions for the description "
            f"'{description_of(record)}'. If it is not there, use --again to send it."
        )


@dataclass(frozen=True)
class Patience:
    """How time passes, for tests to replace."""

    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def polls(self, seconds: float) -> Iterator[None]:
        """Yield once, and again after longer and longer pauses until the seconds are over."""
        deadline = self.clock() + seconds
        pause = FIRST_POLL
        while True:
            yield
            if self.clock() + pause > deadline:
                return
            self.sleep(pause)
            pause = min(pause * 1.5, LONGEST_POLL)


def submit(
    path: Path,
    layout: Layout,
    message: str | None = None,
    wait_seconds: float | None = None,
    *,
    again: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Check a CSV, submit it, wait for its scores if asked, and return its record.

    A content that was or may have been submitted before is submitted only if `again` is true.
    Without it, the scores of the same file's submission are waited for.

    Raises
    ------
    FaultyCsvError
        When Kaggle is known to refuse the file.
    AlreadySubmittedError
        When the content was submitted under another name.
    RefusedCsvError
        When Kaggle could not score the file.
    UnknownOutcomeError
        When it cannot be found out whether Kaggle has the submission.
    UserError
        When Kaggle refuses the request or the time is over.
    """
    refuse_public_data(layout)
    require_csv_path(path)
    refuse_faults(path, layout)
    patience = Patience(sleep, clock)
    with storage.lock_file(path, "submission"):
        api = open_client()
        record = submit_once(api, path, layout, message or path.name, again, patience)
        if state_of(record) is State.ERROR:
            raise RefusedCsvError(path, record)
        if wait_seconds is None:
            return record
        return wait_for_scores(api, path, record["ref"], wait_seconds, patience)


def refuse_public_data(layout: Layout) -> None:
    """Raise a UserError when the data is the public CIFAR-10 instead of Kaggle's."""
    if source_file(layout).exists():
        raise UserError(
            f"Nothing was submitted: {layout.data} holds the public CIFAR-10 from keras.datasets. "
            "Its test images have other ids than Kaggle's, and their labels are public: it is for "
            "trying things out. Download Kaggle's files to another --data-dir and predict those."
        )


def refuse_faults(path: Path, layout: Layout) -> None:
    """Raise a FaultyCsvError if Kaggle is known to refuse a CSV; print what it may refuse."""
    result = check(path, tables.expected_ids(layout))
    if result.faults:
        raise FaultyCsvError(path, result.faults)
    for warning in result.warnings:
        say(f"Warning: {warning}")


def submit_once(
    api: Any, path: Path, layout: Layout, message: str, again: bool, patience: Patience
) -> dict[str, Any]:
    """Submit a CSV, unless this very content was submitted before; return its record."""
    digest = digest_of(path)
    record = read_record(path)
    state = state_of(record) if record.get("sha256") == digest else State.WRITTEN
    if state in UNCERTAIN:
        # Somebody who uses --again on an unknown outcome has looked: one more look is enough.
        seconds = 0 if again and state is State.UNKNOWN else LOOK_SECONDS
        try:
            record = find(api, path, record, NO_CLEAR_ANSWER, seconds, patience)
        except UnknownOutcomeError:
            if not again:
                raise
        else:
            say("It was found, so nothing was sent again.")
            return record
    elif state in AT_KAGGLE and not again:
        say(f"{path} was submitted already, with the reference {record_value(path, 'ref')}.")
        return record
    if not again:
        require_new_content(path, digest, layout)
    upload_token = call(upload, api, path, doing=f"Uploading {path}", timeout=PATIENT)
    if digest_of(path) != digest:
        raise UserError(f"{path} changed during its upload. Nothing was submitted. Run this again.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    token = secrets.token_hex(4)
    record = start_sending(path, digest, message=message, token=token, submitted_at=now)
    try:
        if not again:  # once more: another process may be sending the same content
            require_new_content(path, digest, layout, own_token=token)
    except AlreadySubmittedError:
        change_state(path, State.NOT_SENT, submitted_at=None)
        raise
    return send(api, path, record, upload_token, patience)


def record_value(path: Path, key: str) -> Any:
    """Return a value that the record of a submission must have."""
    record = read_record(path)
    if not record.get(key):
        raise InvalidRecordError(record_path(path), key, record.get(key))
    return record[key]


def require_new_content(path: Path, digest: str, layout: Layout, own_token: str = "") -> None:
    """Raise an AlreadySubmittedError if a record has a submission of this content.

    The records of the submissions' folder and of the CSV's own count, whatever the name.
    """
    for folder in {layout.submissions.resolve(), path.resolve().parent}:
        entries, problems = all_entries(folder)
        for problem in problems:
            say(f"Warning: {problem}")
        for entry in entries:
            is_same = entry.get("sha256") == digest and state_of(entry) in MAYBE_SENT
            if is_same and entry.get("token") != (own_token or None):
                raise AlreadySubmittedError(path, entry)


def upload(api: Any, path: Path) -> str:
    """Upload a CSV to Kaggle's storage and return the token of it; this submits nothing yet."""
    from kaggle.api.kaggle_api_extended import ResumableUploadResult
    from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

    status = path.stat()
    request = ApiStartSubmissionUploadRequest()
    request.competition_name = competition.SLUG
    request.file_name = path.name
    request.content_length = status.st_size
    request.last_modified_epoch_seconds = int(status.st_mtime)
    with api.build_kaggle_client() as kaggle:
        client = kaggle.competitions.competition_api_client
        response = client.start_submission_upload(request)
    result = api.upload_complete(str(path), response.create_url, True)
    if result != ResumableUploadResult.COMPLETE or not response.token:
        raise UserError(
            f"Uploading {path} failed: the upload did not reach Kaggle's storage. Nothing was "
            "submitted and no submission of the day is used up. Check the network and run this "
            "again."
        )
    return str(response.token)


def send(
    api: Any, path: Path, record: dict[str, Any], upload_token: str, patience: Patience
) -> dict[str, Any]:
    """Make the submission of what was uploaded, by one request, and record Kaggle's reference."""
    try:
        ref = call(
            create,
            api,
            upload_token,
            description_of(record),
            doing=f"Submitting {path}",
            attempts=1,
            timeout=PATIENT,
        )
    except UserError as error:
        cause = error.__cause__ or error
        if is_refusal(cause):
            change_state(path, State.NOT_SENT, submitted_at=None)
            raise
        return find(api, path, record, what_happened(cause), LOOK_SECONDS, patience)
    if not ref:
        return find(api, path, record, "its answer names no reference", LOOK_SECONDS, patience)
    return announce(api, path, change_state(path, State.PENDING, ref=ref))


def create(api: Any, upload_token: str, description: str) -> int:
    """Make a submission of an uploaded file and return its reference, 0 if none is given."""
    from kagglesdk.competitions.types.competition_api_service import ApiCreateSubmissionRequest

    request = ApiCreateSubmissionRequest()
    request.competition_name = competition.SLUG
    request.blob_file_tokens = upload_token
    request.submission_description = description
    with api.build_kaggle_client() as kaggle:
        response = kaggle.competitions.competition_api_client.create_submission(request)
    return int(response.ref or 0)


def description_of(record: dict[str, Any]) -> str:
    """Return what Kaggle shows beside a submission: the message, and a token to find it by."""
    return f"{record.get('message')} [{record['token']}]"


def is_refusal(error: BaseException) -> bool:
    """Whether an error of the request that submits says for certain that nothing was submitted."""
    import requests
    from urllib3.exceptions import NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    no_connection = isinstance(error, requests.ConnectTimeout) or isinstance(
        reason, NewConnectionError
    )
    return no_connection or status_of(error) in REFUSALS


def what_happened(error: BaseException) -> str:
    """Return why nobody can say whether a request was acted on."""
    import requests

    if status := status_of(error):
        return f"the answer was HTTP {status}"
    if isinstance(error, requests.Timeout):
        return f"no answer came within {PATIENT[1] / 60:.0f} minutes"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the answer"
    return "the answer was not one of Kaggle's"


def find(
    api: Any,
    path: Path,
    record: dict[str, Any],
    reason: str,
    seconds: float,
    patience: Patience,
) -> dict[str, Any]:
    """Look for a submission in Kaggle's list, for so many seconds, and record what is found.

    Raises
    ------
    UnknownOutcomeError
        When it is not listed.
    """
    token = record_value(path, "token")
    within = f" for up to {seconds / 60:.0f} minutes" if seconds else ""
    say(
        f"It is unknown whether Kaggle has {path}: {reason}. Looking for it in Kaggle's list"
        f"{within}. Nothing is sent again meanwhile."
    )
    looked = ""
    for _ in patience.polls(seconds):
        try:
            listed = call(list_submissions, api, doing="Looking for the submission", attempts=1)
        except UserError as error:
            looked = f"Kaggle's list could not be read ({str(error).rstrip('.')})"
            continue
        looked = "Kaggle does not list it"
        for submission in listed:
            if token in str(getattr(submission, "description", None)):
                return announce(api, path, change_state(path, **news_of(submission)))
    change_state(path, State.UNKNOWN)
    raise UnknownOutcomeError(path, record, reason, looked)


def list_submissions(api: Any) -> list[Any]:
    """Return the newest submissions that Kaggle lists."""
    return api.competition_submissions(competition.SLUG, page_size=LISTED) or []


def announce(api: Any, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Print that a CSV was submitted and, if Kaggle says so, what is left for today."""
    say(f"{path} was submitted; its reference is {record['ref']}.")
    try:
        limits = call(
            api.competition_get_submission_limits, competition.SLUG, doing="limits", attempts=1
        )
        say(f"Submissions left today: {int(limits.num_allowed_now)}.")
    except (UserError, AttributeError, TypeError, ValueError):
        pass  # nice to know, never worth a failure
    return record


def news_of(submission: Any) -> dict[str, Any]:
    """Return what a record holds of a submission of Kaggle's; scores are texts, as shown."""
    status = getattr(submission.status, "name", None)
    return {
        "ref": int(submission.ref),  # typed as an integer, but not converted to one
        "state": State(status) if status in AT_KAGGLE else State.PENDING,
        "public_score": text_or_none(submission.public_score),
        "private_score": text_or_none(submission.private_score),
        "error_description": text_or_none(submission.error_description),
    }


def text_or_none(value: Any) -> str | None:
    """Return a value of an answer as text, None if it is empty."""
    return None if value in (None, "") else str(value)


def wait_for_scores(
    api: Any, path: Path, ref: int, wait_seconds: float, patience: Patience
) -> dict[str, Any]:
    """Look at a submission until Kaggle has scored or refused it, and record what it says.

    Raises
    ------
    RefusedCsvError
        When Kaggle could not score the file.
    UserError
        When Kaggle has not scored it after `wait_seconds`.
    """
    for _ in patience.polls(wait_seconds):
        doing = f"Looking at submission {ref}"
        submission = call(look_up, api, ref, doing=doing, sleep=patience.sleep)
        record = change_state(path, **news_of(submission))
        if state_of(record) is State.ERROR:
            raise RefusedCsvError(path, record)
        if state_of(record) is State.COMPLETE:
            say(scores_of(record))
            return record
    raise UserError(
        f"Kaggle has not scored {path} (reference {ref}) within {duration(wait_seconds)}. "
        f"It is submitted: run `kaggle-cifar submit {path} --wait` later, which submits "
        f"nothing again, or look at {competition.PAGE}/submissions"
    )


def scores_of(record: dict[str, Any]) -> str:
    """Return a sentence with each score that Kaggle shows; a private one may be hidden."""
    shown = [
        f"{part} score {record[f'{part}_score']}"
        for part in ("public", "private")
        if record[f"{part}_score"]
    ]
    return f"{', '.join(shown).capitalize()}." if shown else "Scored, but Kaggle shows no score."


def look_up(api: Any, ref: int) -> Any:
    """Return Kaggle's submission with this reference."""
    from kagglesdk.competitions.types.competition_api_service import ApiGetSubmissionRequest

    request = ApiGetSubmissionRequest()
    request.ref = ref
    with api.build_kaggle_client() as kaggle:
        return kaggle.competitions.competition_api_client.get_submission(request)
