"""What an error of a request means: its HTTP status, and whether to try again."""

import contextlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

LONGEST_BACKOFF = 30.0  # seconds
LONGEST_RETRY_AFTER = 300.0  # seconds; if Kaggle asks for more, the user waits


class WrongRangeError(Exception):
    """A server sent another part of a file, or of another file, than the request asked for."""


class NotKaggleError(Exception):
    """The answer of an API call is not one that Kaggle gives."""


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error stands for, or None."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    code: Any = response.status_code
    if code < 400:  # the client also raises for an error in the body of a 200
        code = answer_of(response).get("code")
    return code if isinstance(code, int) else None


def answer_of(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object in a response, or an empty one."""
    if "json" not in response.headers.get("Content-Type", ""):  # it may be as long as an archive
        return {}
    try:
        value = response.json()
    except (ValueError, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def retry_delay(error: BaseException, attempt: int) -> float | None:
    """Return the seconds until the next attempt, or None if another attempt cannot help."""
    backoff = min(2.0 ** (attempt - 1), LONGEST_BACKOFF)
    status = status_of(error)
    if status == 429:
        asked = retry_after(error)
        return None if asked and asked > LONGEST_RETRY_AFTER else asked or backoff
    if status is not None:
        return backoff if status >= 500 else None
    broken = (
        ConnectionError,
        TimeoutError,
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    )
    return backoff if isinstance(error, broken) else None


def retry_after(error: BaseException) -> float | None:
    """Return the seconds that a server asks to wait, as a number or until a date."""
    response = getattr(error, "response", None)
    value = response.headers.get("Retry-After", "") if response is not None else ""
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def never_connected(error: BaseException) -> bool:
    """Return whether the error occurred before there was a connection to send a request on."""
    return isinstance(error, requests.ConnectTimeout) or isinstance(
        reason_of(error), NewConnectionError
    )


def never_reached(error: BaseException) -> bool:
    """Return whether no usable connection was made, so that trying again at once cannot help."""
    return (
        isinstance(error, requests.exceptions.SSLError)
        or never_connected(error)
        or proxy_refused(error)
    )


def proxy_refused(error: BaseException) -> bool:
    """Return whether a proxy could not be used, which differs from a lost connection behind it."""
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        return True
    original = getattr(reason_of(error), "original_error", None)
    return isinstance(error, requests.exceptions.ProxyError) and not isinstance(
        original, ConnectionError
    )


def reason_of(error: BaseException) -> Any:
    """Return why urllib3 gave up, if an error of requests has it."""
    return getattr(error.args[0], "reason", None) if error.args else None
