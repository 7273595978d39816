"""Plain sentences for errors of requests. They hold no credential and no signed link."""

import contextlib
import json
import os
import re
from urllib.parse import urlsplit

import requests

from kaggle_cifar import competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.credentials import SETTINGS_PAGE, find_credentials
from kaggle_cifar.kaggle.failures import (
    NotKaggleError,
    WrongRangeError,
    answer_of,
    never_reached,
    proxy_refused,
    retry_after,
    status_of,
)
from kaggle_cifar.kaggle.session import current_timeout

STATUS_PAGE = "https://www.kagglestatus.com"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
UPDATE_THE_CLIENT = "run `pip install --upgrade kaggle`."
NOT_JSON = (json.JSONDecodeError, requests.exceptions.JSONDecodeError, NotKaggleError)


class KaggleError(UserError):
    """A call of Kaggle's API failed; `status` is its HTTP status, or None."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def explain(error: BaseException, doing: str) -> UserError:
    """Return the error to show for an error of the client; the message begins with `doing`."""
    if isinstance(error, UserError):
        return error
    status = 401 if isinstance(error, SystemExit) else status_of(error)
    if status is not None:
        reason = explain_status(status, error)
    elif isinstance(error, NOT_JSON):
        reason = (
            "the answer did not come from Kaggle's API. If a login page or a proxy is between this "
            f"machine and Kaggle, pass it first. Otherwise, {UPDATE_THE_CLIENT}"
        )
    elif isinstance(error, requests.RequestException):
        reason = ". ".join(explain_connection(error))
    elif isinstance(error, ValueError | KeyError | AttributeError | TypeError):
        reason = (
            "the installed kaggle client does not understand Kaggle's answer "
            f"({type(error).__name__}: {redact(str(error))}). To update it, {UPDATE_THE_CLIENT}"
        )
    else:
        reason = f"{type(error).__name__}: {redact(str(error))}"
    return KaggleError(f"{doing} failed: {reason}.", status)


def reason_in_short(error: BaseException) -> str:
    """Return what happened, without advice, for an error after which a request is repeated."""
    status = status_of(error)
    if status is not None:
        limited = "Kaggle limits the rate of requests" if status == 429 else "the server refuses"
        what = "the server is having problems" if status >= 500 else limited
        return f"{what} (HTTP {status}){quoted_message(error)}"
    if isinstance(error, WrongRangeError):
        return f"the server sent a wrong part of the file ({error})"
    if isinstance(error, requests.RequestException):
        return explain_connection(error)[0]
    return f"{type(error).__name__}: {redact(str(error))}"


def explain_status(status: int, error: BaseException) -> str:
    """Return why Kaggle answered with this HTTP status and what to do."""
    if status == 401:
        return explain_refused_credentials()
    message = quoted_message(error)
    if status == 403:
        return (
            f"Kaggle refuses access (HTTP 403){message}. Most likely you have not accepted the "
            f"rules of the competition: open {competition.RULES_PAGE}, log in as the owner of the "
            "key used here, and accept them. Otherwise your account has no access, or "
            f"'{competition.SLUG}' is not the competition's name"
        )
    if status == 404:
        return (
            f"Kaggle does not find it (HTTP 404){message}. Check that {competition.PAGE} exists; "
            "if it does, update this program"
        )
    if status == 429:
        wait = retry_after(error)
        when = f"in {wait:.0f} s" if wait else "in a few minutes"
        return f"Kaggle limits the rate of requests (HTTP 429){message}. Run this again {when}"
    if status >= 500:
        return (
            f"Kaggle is having problems (HTTP {status}){message}. See {STATUS_PAGE} and run this "
            "again later"
        )
    return f"Kaggle refuses the request (HTTP {status}){message}"


def explain_refused_credentials() -> str:
    """Return which credentials Kaggle does not accept and what to do."""
    credentials = find_credentials()
    found = f"{credentials.kind} from {credentials.place}" if credentials else "credentials"
    order = (
        " It takes precedence over any other key; remove it to use another one."
        if credentials and credentials.kind == "access token"
        else ""
    )
    return (
        f"Kaggle does not accept the {found} (HTTP 401).{order} Create a new one at "
        f'{SETTINGS_PAGE} ("Create New Token") and store it there'
    )


def quoted_message(error: BaseException) -> str:
    """Return Kaggle's own message of an error, quoted in brackets, or nothing."""
    response = getattr(error, "response", None)
    message = answer_of(response).get("message") if response is not None else None
    return f' ("{redact(str(message)).rstrip(".")}")' if message else ""


def explain_connection(error: requests.RequestException) -> tuple[str, str]:
    """Return why a connection failed and what to do, without the URL, which may be signed."""
    request = getattr(error, "request", None)
    host = (urlsplit(request.url).hostname if request is not None else None) or "Kaggle"
    to_connect, without_a_byte = current_timeout()
    if proxy_refused(error):
        names = [name for name in PROXY_VARIABLES if proxy_of(name)]
        return (
            f"the proxy for {host} could not be used",
            f"Check the environment variables {' and '.join(names or PROXY_VARIABLES)}",
        )
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"no secure connection to {host} could be made",
            "Check this machine's clock, and set REQUESTS_CA_BUNDLE if a proxy uses its own "
            "certificates",
        )
    if isinstance(error, requests.ConnectTimeout):
        return f"{host} did not answer within {to_connect:.0f} s", "Check the network"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        silent = f"{host} sent nothing for {without_a_byte:.0f} s"
        return silent, "Check the network and run this again"
    if never_reached(error):
        return f"{host} could not be reached", "Check the network"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return f"the answer of {host} could not be decompressed", "Run this again later"
    return f"the connection to {host} was lost", "Run this again"


def proxy_of(name: str) -> str | None:
    """Return the value of a proxy variable, written in lower case or in capitals."""
    return os.environ.get(name) or os.environ.get(name.upper())


def redact(text: str) -> str:
    """Return `text` as one short line without the queries of URLs and without credentials."""
    text = re.sub(r"\?\S+=\S*", "?…", " ".join(text.split()))
    with contextlib.suppress(UserError):
        credentials = find_credentials()
        text = text.replace(credentials.secret, "…") if credentials else text
    return text[:200]
