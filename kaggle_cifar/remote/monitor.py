"""Follow a session on Kaggle: its states and its log."""

import contextlib
import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kaggle_cifar.console import duration, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.client import call, silence
from kaggle_cifar.kaggle.explanations import redact
from kaggle_cifar.kaggle.failures import never_reached, retry_delay, status_of
from kaggle_cifar.remote.sessions import UNDER_WAY, Session, restart_advice, save_session
from kaggle_cifar.training.run import Run

T = TypeVar("T")

FIRST_POLL, LONGEST_POLL = 1.0, 15.0  # seconds between two polls of a session
PATIENCE = 900.0  # seconds without a connection
LOG_TAIL = 25  # lines

# Our states by the client's KernelWorkerStatus.
STATES = {
    "NEW_SCRIPT": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "CANCEL_REQUESTED": "running",
    "COMPLETE": "complete",
    "ERROR": "failed",
    "CANCEL_ACKNOWLEDGED": "cancelled",
}


class KernelNotFoundError(UserError):
    """Kaggle has no such kernel, or it belongs to another user."""

    def __init__(self, kernel: str) -> None:
        super().__init__(
            f"The kernel {kernel} was not found on Kaggle, or your account cannot see it."
        )
        self.kernel = kernel


class ConnectionLostError(UserError):
    """Kaggle could not be reached for a long time; the session continues there."""


class Log:
    """The log of a session: each line is printed once, and the last ones are kept."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LOG_TAIL)
        self.events = 0

    def show(self, events: Iterable[dict[str, Any]]) -> None:
        """Print the new lines of a log that is given from its beginning."""
        for number, event in enumerate(events, 1):
            if number <= self.events:
                continue
            self.events = number
            for line in str(event.get("data") or "").splitlines():
                self.lines.append(line)
                say(line)


def follow(
    api: Any,
    remote: Run,
    session: Session,
    log: Log,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[Session, str]:
    """Print a session's states and log until it ends; return it, and Kaggle's reason if it failed.

    Raises
    ------
    ConnectionLostError
        If Kaggle cannot be reached for some time.
    UserError
        If Kaggle refuses; its cause says why, for instance a KernelNotFoundError.
    """
    pause, shown = FIRST_POLL, ""
    while True:
        state, failure = poll_patiently(api, remote, session.kernel, sleep, clock)
        session = save_session(remote, dataclasses.replace(session, state=state))
        if state != shown:
            say(f"{remote.name} on Kaggle: {state}.")
            pause, shown = FIRST_POLL, state
        if state != "queued" and show_log(api, session.kernel, log):
            pause = FIRST_POLL
        if state not in UNDER_WAY:
            return session, failure
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)


def poll_patiently(
    api: Any,
    remote: Run,
    kernel: str,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[str, str]:
    """Poll a session until Kaggle answers, also if the connection is lost for a while."""
    started, is_announced = clock(), False
    while True:
        try:
            return poll(api, kernel)
        except UserError as error:
            if not is_temporary(error.__cause__):
                raise UserError(f"{error} {restart_advice(remote)}") from error
            if clock() - started > PATIENCE:
                message = f"{error} The session continues. Run the same command to follow it."
                raise ConnectionLostError(message) from error
            if not is_announced:
                say(f"{error} Trying again for {duration(PATIENCE)}.")
                is_announced = True
        sleep(LONGEST_POLL)


def poll(api: Any, kernel: str) -> tuple[str, str]:
    """Return the state of a kernel's session, and Kaggle's reason if it failed.

    Raises
    ------
    KernelNotFoundError
        If Kaggle does not know the kernel.
    UserError
        If Kaggle cannot be reached or answers with something unknown.
    """
    try:
        doing = f"Asking for the state of {kernel}"
        status = call(unmask_http_error, api.kernels_status, kernel, doing=doing, attempts=1)
    except UserError as error:
        if status_of(error.__cause__ or error) in (403, 404):
            raise KernelNotFoundError(kernel) from error.__cause__
        raise
    state = STATES.get(status.status.name)
    if state is None:
        raise UserError(
            f"The kernel {kernel} has an unknown state, {status.status.name}. Run `pip "
            "install --upgrade kaggle-cifar`."
        )
    return state, redact(status.failure_message)


def kernel_exists(api: Any, kernel: str) -> bool:
    """Whether Kaggle has a kernel."""
    try:
        poll(api, kernel)
    except KernelNotFoundError:
        return False
    return True


def unmask_http_error(function: Callable[..., T], *arguments: Any) -> T:
    """Call a method of the client that hides Kaggle's HTTP errors behind a ValueError."""
    import requests

    try:
        return function(*arguments)
    except ValueError as error:
        if isinstance(error.__context__, requests.HTTPError):
            raise error.__context__ from None
        raise


def is_temporary(error: BaseException | None) -> bool:
    """Whether an error comes from the network or from problems of Kaggle, not from a refusal."""
    return error is not None and (never_reached(error) or retry_delay(error, 1) is not None)


def show_log(api: Any, kernel: str, log: Log) -> bool:
    """Print what is new in a session's log, while it runs; return whether there was anything.

    An error ends it silently, because the next poll meets the same one.
    """
    import requests

    before = log.events
    with contextlib.suppress(requests.RequestException, ValueError, OSError):
        events = api.kernels_logs_stream(kernel)
        with silence():  # it swallows what is printed, and only the request needs it
            first = next(events, None)
        if first is not None:
            log.show(itertools.chain([first], events))
    return log.events > before
