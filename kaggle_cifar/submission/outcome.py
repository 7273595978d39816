"""What became of a submission: looking for it in Kaggle's list, waiting for its scores."""

from pathlib import Path
from typing import Any

from kaggle_cifar import competition
from kaggle_cifar.console import duration, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.client import call
from kaggle_cifar.kaggle.polling import Poll
from kaggle_cifar.submission.kaggle_calls import list_submissions, values_of
from kaggle_cifar.submission.record import (
    InvalidRecordError,
    State,
    change_state,
    read_record,
    record_path,
    state_of,
)

LOOK_SECONDS = 300.0  # Kaggle's list may lag behind a submission
WAIT_SECONDS = 600.0  # Kaggle scores 300,000 rows in well under a minute
SUBMISSIONS_PAGE = f"{competition.PAGE}/submissions"


class UnknownOutcomeError(UserError):
    """Nobody knows whether Kaggle has a submission; `token` is in its description."""

    def __init__(self, path: Path, record: dict[str, Any], reason: str, looked: str) -> None:
        self.path, self.token = path, record["token"]
        super().__init__(
            f"It is unknown whether Kaggle has {path}: {reason}, and {looked}. It is not sent "
            "again. Run the same command later to look for it again, or look at "
            f"{SUBMISSIONS_PAGE} for the description '{description_of(record)}'. If it is not "
            "there, use --again to send it."
        )


class RefusedCsvError(UserError):
    """Kaggle has a submission and could not score it; `ref` is its reference."""

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.ref = record["ref"]
        super().__init__(
            f"Kaggle could not score {path} (reference {self.ref}): "
            f"{record.get('error_description') or 'it gave no reason'}. "
            f"See {SUBMISSIONS_PAGE}. Use --again to submit the same file once more."
        )


class NotScoredError(UserError):
    """Kaggle has not scored a submission in time; `ref` is its reference."""

    def __init__(self, path: Path, ref: int, seconds: float) -> None:
        self.ref = ref
        super().__init__(
            f"Kaggle has not scored {path} (reference {ref}) within {duration(seconds)}. It is "
            "submitted. Run the same command later, which submits nothing again, or look at "
            f"{SUBMISSIONS_PAGE}"
        )


def description_of(record: dict[str, Any]) -> str:
    """Return the description of a submission on Kaggle: the message, and a token to find it by."""
    return f"{record.get('message')} [{record['token']}]"


def required_value(path: Path, key: str) -> Any:
    """Return a value that the record of a submission must have."""
    record = read_record(path)
    if not record.get(key):
        raise InvalidRecordError(record_path(path), key, record.get(key))
    return record[key]


def find(
    api: Any, path: Path, record: dict[str, Any], reason: str, seconds: float, poll: Poll
) -> dict[str, Any]:
    """Look for a submission in Kaggle's list, for so many seconds, and record what is found.

    Raises
    ------
    UnknownOutcomeError
        If it is not listed.
    """
    token = required_value(path, "token")
    within = f" for up to {seconds / 60:.0f} minutes" if seconds else ""
    say(
        f"It is unknown whether Kaggle has {path}: {reason}. Looking for it in Kaggle's list"
        f"{within}. Nothing is sent again meanwhile."
    )
    looked = ""
    for _ in poll.attempts(seconds):
        try:
            listed = call(list_submissions, api, doing="Looking for the submission", attempts=1)
        except UserError as error:
            looked = f"Kaggle's list could not be read ({str(error).rstrip('.')})"
            continue
        looked = "Kaggle does not list it"
        for submission in listed:
            if token in str(getattr(submission, "description", None)):
                return announce(api, path, change_state(path, **values_of(submission)))
    change_state(path, State.UNKNOWN)
    raise UnknownOutcomeError(path, record, reason, looked)


def announce(api: Any, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Print that a CSV was submitted and, if Kaggle says so, how many are left today."""
    say(f"{path} was submitted; its reference is {record['ref']}.")
    try:
        limits = call(
            api.competition_get_submission_limits, competition.SLUG, doing="limits", attempts=1
        )
        say(f"Submissions left today: {int(limits.num_allowed_now)}.")
    except (UserError, AttributeError, TypeError, ValueError):
        pass  # never worth a failure
    return record


def wait_for_scores(
    api: Any, path: Path, ref: int, wait_seconds: float, poll: Poll
) -> dict[str, Any]:
    """Look at a submission until Kaggle has scored or refused it, and record the result.

    Raises
    ------
    RefusedCsvError
        If Kaggle could not score the file.
    NotScoredError
        If Kaggle has not scored it after `wait_seconds`.
    """
    for _ in poll.attempts(wait_seconds):
        doing = f"Looking at submission {ref}"
        submission = call(api.get_submission, ref, doing=doing, sleep=poll.sleep)
        record = change_state(path, **values_of(submission))
        if state_of(record) is State.ERROR:
            raise RefusedCsvError(path, record)
        if state_of(record) is State.COMPLETE:
            say(scores_of(record))
            return record
    raise NotScoredError(path, ref, wait_seconds)


def scores_of(record: dict[str, Any]) -> str:
    """Return a sentence with each score that Kaggle shows; a private one may be hidden."""
    shown = [
        f"{part} score {record[f'{part}_score']}"
        for part in ("public", "private")
        if record[f"{part}_score"]
    ]
    return f"{', '.join(shown).capitalize()}." if shown else "Scored, but Kaggle shows no score."
