"""The kaggle client: how to open it and how to call it."""

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from kaggle_cifar.console import say
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.credentials import config_folder, readable_by_others, require_credentials
from kaggle_cifar.kaggle.explanations import explain, reason_in_short
from kaggle_cifar.kaggle.failures import never_reached, retry_delay
from kaggle_cifar.kaggle.session import Timeout, use_timeout

if TYPE_CHECKING:
    from kaggle_cifar.kaggle.api import Api

T = TypeVar("T")

ATTEMPTS = 6  # to make one request, or to get any further with a download


def open_client() -> "Api":
    """Return an authenticated kaggle client; use it through `call`.

    Raises
    ------
    UserError
        If there are no credentials, Kaggle refuses them, or Kaggle cannot be reached.
    """
    credentials = require_credentials()
    if credentials.readable_by_others:
        say(f"Warning: {readable_by_others(credentials)}")
    try:
        with offline(), silence():
            from kaggle_cifar.kaggle.api import Api
    except OSError as error:
        raise UserError(
            f"The kaggle client could not create its folder {config_folder()} "
            f"({error.strerror}). Create it, or set KAGGLE_CONFIG_DIR to a folder that you can "
            "write."
        ) from error
    api = Api()
    call(api.authenticate, doing="Logging in to Kaggle")
    return api


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Let the calls of the kaggle package fail at once within the block.

    The package logs in while it is imported, without a timeout, before anything can be mounted on
    its session. `open_client` logs in itself.
    """
    from kagglesdk.kaggle_http_client import KaggleHttpClient

    def fail(*_: object) -> None:
        raise requests.ConnectionError("offline")

    call_online = KaggleHttpClient.call
    KaggleHttpClient.call = fail
    try:
        yield
    finally:
        KaggleHttpClient.call = call_online


def silence() -> contextlib.AbstractContextManager[Any]:
    """Hide what the kaggle client prints to standard output within the block."""
    return contextlib.redirect_stdout(io.StringIO())


def call(
    function: Callable[..., T],
    *arguments: Any,
    doing: str,
    attempts: int = ATTEMPTS,
    timeout: Timeout | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Return what a function that calls Kaggle returns; repeat the call if that can help.

    Raises
    ------
    UserError
        If it fails; the message begins with `doing`.
    """
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, not {attempts}")
    attempt = 1
    with use_timeout(timeout):
        while True:
            try:
                with silence():
                    return function(*arguments)
            except (Exception, SystemExit) as error:
                delay = None if never_reached(error) else retry_delay(error, attempt)
                if delay is None or attempt == attempts:
                    raise explain(error, doing) from error
                say(f"{doing}: {reason_in_short(error)}. Trying again in {delay:.0f} s.")
            sleep(delay)
            attempt += 1
