"""The calls of Kaggle's API that submit a CSV, and what their answers mean.

The client's own function uploads and submits in one call. Here each function makes one request, so
that `kaggle.client.call` decides whether it is repeated.
"""

from pathlib import Path
from typing import Any

import requests

from kaggle_cifar import competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.failures import never_connected, status_of
from kaggle_cifar.kaggle.session import TIMEOUT
from kaggle_cifar.kaggle.signed_links import upload_file
from kaggle_cifar.submission.record import AT_KAGGLE, State

LISTED = 100  # newest submissions

# Ten minutes are longer than a proxy or a load balancer lets any answer take, and still show a user
# that a connection is dead.
PATIENT = (TIMEOUT[0], 600.0)

# With these Kaggle, or a proxy on the way to it, refuses a request without acting on it. Any
# other status may come after the submission was made: 408, 499, and 5xx of a proxy above all.
REFUSALS = frozenset({400, 401, 403, 405, 407, 411, 413, 414, 415, 422, 429, 431})


class UploadError(UserError):
    """A CSV did not reach Kaggle's storage; `path` is the CSV."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"Uploading {path} failed: the upload did not reach Kaggle's storage. Nothing was "
            "submitted and none of the day's submissions is used up. Check the network and run "
            "this again."
        )
        self.path = path


def upload(api: Any, path: Path) -> str:
    """Upload a CSV to Kaggle's storage and return its token; this submits nothing yet."""
    from kagglesdk.competitions.types.competition_api_service import ApiStartSubmissionUploadRequest

    status = path.stat()
    request = ApiStartSubmissionUploadRequest()
    request.competition_name = competition.SLUG
    request.file_name = path.name
    request.content_length = status.st_size
    request.last_modified_epoch_seconds = int(status.st_mtime)
    with api.build_kaggle_client() as kaggle:
        client = kaggle.competitions.competition_api_client
        answer = client.start_submission_upload(request)
    try:
        upload_file(answer.create_url, path)
    except requests.RequestException as error:
        raise UploadError(path) from error
    return str(answer.token)


def create(api: Any, upload_token: str, description: str) -> int:
    """Make a submission of an uploaded file and return its reference, or 0 if Kaggle gives none."""
    from kagglesdk.competitions.types.competition_api_service import ApiCreateSubmissionRequest

    request = ApiCreateSubmissionRequest()
    request.competition_name = competition.SLUG
    request.blob_file_tokens = upload_token
    request.submission_description = description
    # A redirect that is followed sends the request a second time, or to somebody else.
    with api.build_kaggle_client(follow_redirects=False) as kaggle:
        answer = kaggle.competitions.competition_api_client.create_submission(request)
    return int(answer.ref or 0)


def is_refusal(error: BaseException) -> bool:
    """Return whether an error of `create` means for certain that nothing was submitted."""
    return never_connected(error) or status_of(error) in REFUSALS


def why_unknown(error: BaseException) -> str:
    """Return why an error of `create` leaves open whether Kaggle has the submission."""
    if status := status_of(error):
        return f"the answer was HTTP {status}"
    if isinstance(error, requests.Timeout):
        return f"no answer came within {PATIENT[1] / 60:.0f} minutes"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection was lost before the answer"
    return "the answer did not come from Kaggle's API"


def list_submissions(api: Any) -> list[Any]:
    """Return the newest submissions that Kaggle lists."""
    return api.competition_submissions(competition.SLUG, page_size=LISTED) or []


def values_of(submission: Any) -> dict[str, Any]:
    """Return what a record holds of a submission of Kaggle's; scores are text, as shown."""
    status = getattr(submission.status, "name", None)
    return {
        "ref": int(submission.ref),  # typed as an integer, but not converted to one
        "state": State(status) if status in AT_KAGGLE else State.PENDING,
        "public_score": text_or_none(submission.public_score),
        "private_score": text_or_none(submission.private_score),
        "error_description": text_or_none(submission.error_description),
    }


def text_or_none(value: Any) -> str | None:
    """Return a value of an answer as text, or None if it is empty."""
    return None if value in (None, "") else str(value)
