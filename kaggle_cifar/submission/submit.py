"""Submitting a CSV to Kaggle, once.

A submission uses up one of the few of a day, so the request that makes it is never repeated
without --again. Its state is on disk before it is sent. If it gets no clear answer, the submission
is looked for in Kaggle's list, by a token in its description.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaggle_cifar import files
from kaggle_cifar.console import say
from kaggle_cifar.data.keras_cifar10 import source_file
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle.client import call, open_client
from kaggle_cifar.kaggle.polling import Poll
from kaggle_cifar.submission.kaggle_calls import PATIENT, create, is_refusal, upload, why_unknown
from kaggle_cifar.submission.leaderboard import show_standing
from kaggle_cifar.submission.outcome import (
    LOOK_SECONDS,
    RefusedCsvError,
    UnknownOutcomeError,
    announce,
    description_of,
    find,
    required_value,
    wait_for_scores,
)
from kaggle_cifar.submission.record import (
    AT_KAGGLE,
    MAYBE_SENT,
    UNCERTAIN,
    State,
    all_entries,
    change_state,
    digest_of,
    read_record,
    require_csv_path,
    start_sending,
    state_of,
)
from kaggle_cifar.submission.sent import forget_sent, note_sent, read_sent
from kaggle_cifar.submission.validate import require_valid


class PublicDataError(UserError):
    """The data is the public CIFAR-10, not Kaggle's; `path` is its folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"Nothing was submitted: {path} holds the public CIFAR-10 from keras.datasets, whose "
            "test images have other ids than Kaggle's and public labels. Download Kaggle's files "
            "to another --data-dir and predict those."
        )
        self.path = path


class AlreadySubmittedError(UserError):
    """The content of a CSV was or may have been submitted before; `file` and `ref` say as what."""

    def __init__(self, path: Path, entry: dict[str, Any]) -> None:
        self.file, self.ref = entry["file"], entry.get("ref")
        was = f"was submitted (reference {self.ref})" if self.ref else "may have been submitted"
        super().__init__(
            f"{path} was not submitted: its content {was} as {self.file}. Use --again to submit it "
            "again, which uses up another of the day's submissions."
        )


class ChangedCsvError(UserError):
    """A CSV changed during its upload; `path` is the CSV."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} changed during its upload. Nothing was submitted. Run this again."
        )
        self.path = path


def submit(
    path: Path,
    project: ProjectPaths,
    message: str | None = None,
    wait_seconds: float | None = None,
    *,
    again: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Check a CSV, submit it, wait for its scores if asked, and return its record.

    With the scores, it prints where they would stand on Kaggle's leaderboard.

    A content that was or may have been submitted before is submitted only if `again` is true.
    Without it, this waits for the scores of the earlier submission of the same file.

    Raises
    ------
    FaultyCsvError
        If Kaggle is known to refuse the file.
    AlreadySubmittedError
        If the content was submitted under another name.
    RefusedCsvError
        If Kaggle could not score the file.
    UnknownOutcomeError
        If it remains unknown whether Kaggle has the submission.
    UserError
        If Kaggle refuses the request or does not score the file in time.
    """
    if source_file(project).exists():
        raise PublicDataError(project.data)
    require_csv_path(path)
    require_valid(path, project)
    poll = Poll(sleep, clock)
    with files.lock_file(path, "submission"):
        api = open_client()
        record = submit_once(api, path, project, message or path.name, again, poll)
        if state_of(record) is State.ERROR:
            raise RefusedCsvError(path, record)
        if wait_seconds is None:
            return record
        record = wait_for_scores(api, path, record["ref"], wait_seconds, poll)
        show_standing(api, project.submissions, record)
        return record


def submit_once(
    api: Any, path: Path, project: ProjectPaths, message: str, again: bool, poll: Poll
) -> dict[str, Any]:
    """Submit a CSV, unless this very content was submitted before; return its record."""
    digest = digest_of(path)
    if record := earlier_submission(api, path, digest, again, poll):
        return record
    if not again:
        require_new_content(path, digest, project)
    upload_token = call(upload, api, path, doing=f"Uploading {path}", timeout=PATIENT)
    if digest_of(path) != digest:
        raise ChangedCsvError(path)
    with sending(path, project, digest, message, again) as record:
        return send(api, path, record, upload_token, poll)


def earlier_submission(
    api: Any, path: Path, digest: str, again: bool, poll: Poll
) -> dict[str, Any] | None:
    """Return the record of the earlier submission of a CSV, or None to submit it now.

    Raises
    ------
    UnknownOutcomeError
        If it may have been submitted, is not listed, and `again` is false.
    """
    record = read_record(path)
    state = state_of(record) if record.get("sha256") == digest else State.WRITTEN
    if state in UNCERTAIN:
        # A user who gives --again after an unknown outcome has looked: one more look is enough.
        seconds = 0 if again and state is State.UNKNOWN else LOOK_SECONDS
        reason = "an earlier run ended without a clear answer"
        try:
            record = find(api, path, record, reason, seconds, poll)
        except UnknownOutcomeError:
            if again:
                return None
            raise
        say("It was found, so nothing was sent again.")
        return record
    if state in AT_KAGGLE and not again:
        say(f"{path} was submitted before, with the reference {required_value(path, 'ref')}.")
        return record
    return None


def require_new_content(
    path: Path, digest: str, project: ProjectPaths, own_token: str = ""
) -> None:
    """Raise an AlreadySubmittedError if this content was submitted, under whatever name.

    It looks in the records in the submissions' folder and in the CSV's own, and in the notes of
    what was sent, in case a CSV or its record was moved or deleted.
    """
    for folder in {project.submissions.resolve(), path.resolve().parent}:
        entries, problems = all_entries(folder)
        for problem in problems:
            say(f"Warning: {problem}")
        for entry in entries:
            is_same = entry.get("sha256") == digest and state_of(entry) in MAYBE_SENT
            if is_same and entry.get("token") != (own_token or None):
                raise AlreadySubmittedError(path, entry)
    sent = read_sent(project.submissions, digest)
    if sent and sent.get("token") != own_token:
        raise AlreadySubmittedError(path, sent)


@contextmanager
def sending(
    path: Path, project: ProjectPaths, digest: str, message: str, again: bool
) -> Iterator[dict[str, Any]]:
    """Record that a content is being sent; take that back if it certainly was not."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    token = secrets.token_hex(4)
    record = start_sending(path, digest, message=message, token=token, submitted_at=now)
    try:
        try:
            note_sent(project.submissions, digest, path, token)
            if not again:  # once more: another process may be sending the same content
                require_new_content(path, digest, project, own_token=token)
        except UserError:
            change_state(path, State.NOT_SENT, submitted_at=None)
            raise
        yield record
    finally:
        if state_of(read_record(path)) is State.NOT_SENT:
            forget_sent(project.submissions, digest, token)


def send(
    api: Any, path: Path, record: dict[str, Any], upload_token: str, poll: Poll
) -> dict[str, Any]:
    """Make the submission of what was uploaded, by one request, and record Kaggle's reference."""
    doing = f"Submitting {path}"
    description = description_of(record)
    try:
        ref = call(create, api, upload_token, description, doing=doing, attempts=1, timeout=PATIENT)
    except UserError as error:
        cause = error.__cause__ or error
        if is_refusal(cause):
            change_state(path, State.NOT_SENT, submitted_at=None)
            raise
        return find(api, path, record, why_unknown(cause), LOOK_SECONDS, poll)
    if not ref:
        return find(api, path, record, "its answer names no reference", LOOK_SECONDS, poll)
    return announce(api, path, change_state(path, State.PENDING, ref=ref))
