"""Sessions on Kaggle: their states and what they print."""

import contextlib
import dataclasses
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kaggle_cifar.console import duration, say
from kaggle_cifar.errors import UserError
from kaggle_cifar.kaggle.client import call, silence
from kaggle_cifar.kaggle.explanations import redact
from kaggle_cifar.kaggle.failures import never_reached, retry_delay, status_of
from kaggle_cifar.remote.sessions import UNDER_WAY, Session, record, start_anew
from kaggle_cifar.training.run import Run

T = TypeVar("T")


FIRST_POLL, LONGEST_POLL = 1.0, 15.0  # seconds between two looks at a kernel
PATIENCE = 900.0  # seconds without a connection
LOG_TAIL = 25  # lines

# What the client calls the states of a session.
STATES = {
    "NEW_SCRIPT": "queued",
    "QUEUED": "queued",
    "RUNNING": "running",
    "CANCEL_REQUESTED": "running",
    "COMPLETE": "complete",
    "ERROR": "failed",
    "CANCEL_ACKNOWLEDGED": "cancelled",
}


class Log:
    """What a session has printed: each line is shown once, the last ones are kept."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=LOG_TAIL)
        self.events = 0

    def show(self, events: Iterable[dict[str, Any]]) -> None:
        """Print what is new in a log, which is told from its beginning."""
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
    """Show a session until it has ended; return it, and why it failed if it did.

    A connection that breaks off is made again for some time.

    Raises
    ------
    UserError
        When there is no connection any more, or Kaggle does not know the session.
    """
    pause, told = FIRST_POLL, ""
    while True:
        state, failure = patient_look(api, remote, session.kernel, sleep, clock)
        session = record(remote, dataclasses.replace(session, state=state))
        if state != told:
            say(f"{remote.name} on Kaggle: {state}.")
            pause, told = FIRST_POLL, state
        if state == "running" and show_live_log(api, session.kernel, log):
            pause = FIRST_POLL
        if state not in UNDER_WAY:
            show_kept_log(api, session.kernel, log)
            return session, failure
        sleep(pause)
        pause = min(pause * 1.5, LONGEST_POLL)


def patient_look(
    api: Any,
    remote: Run,
    kernel: str,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> tuple[str, str]:
    """Return what `look` does, also where the connection is away for a while."""
    started, told = clock(), False
    while True:
        try:
            return look(api, kernel)
        except UserError as error:
            if not is_passing(error.__cause__):
                raise UserError(f"{error} {start_anew(remote)}") from error
            if clock() - started > PATIENCE:
                raise UserError(
                    f"{error} What is under way there goes on: the same command follows it again."
                ) from error
            if not told:
                say(f"{error} Trying again for {duration(PATIENCE)}.")
            told = True
        sleep(LONGEST_POLL)


def look(api: Any, kernel: str) -> tuple[str, str]:
    """Return the state of a kernel's session, and Kaggle's reason where it failed."""
    try:
        status = call(
            unhidden, api.kernels_status, kernel, doing=f"Looking at {kernel}", attempts=1
        )
    except UserError as error:
        if status_of(error.__cause__ or error) in (403, 404):
            raise UserError(
                f"Kaggle does not know the kernel {kernel}, or not as yours: was it deleted?"
            ) from error.__cause__
        raise
    state = STATES.get(status.status.name)
    if state is None:
        raise UserError(
            f"Kaggle gives the kernel {kernel} the state {status.status.name}, which this program "
            "does not know. Update this program."
        )
    return state, redact(status.failure_message)


def is_known(api: Any, kernel: str) -> bool:
    """Whether Kaggle has a kernel."""
    try:
        look(api, kernel)
    except UserError as error:
        if status_of(error.__cause__ or error) in (403, 404):
            return False
        raise
    return True


def unhidden(function: Callable[..., T], *arguments: Any) -> T:
    """Call what the client has for kernels; it hides Kaggle's refusals behind a ValueError."""
    import requests

    try:
        return function(*arguments)
    except ValueError as error:
        if isinstance(error.__context__, requests.HTTPError):
            raise error.__context__ from None
        raise


def is_passing(error: BaseException | None) -> bool:
    """Whether an error is one of the network or of a Kaggle in trouble, not a refusal."""
    return error is not None and (never_reached(error) or retry_delay(error, 1) is not None)


def show_live_log(api: Any, kernel: str, log: Log) -> bool:
    """Show what a session prints as long as the connection stands; tell whether there was more.

    The states tell the rest.
    """
    import requests

    before = log.events
    with contextlib.suppress(requests.RequestException, ValueError, OSError):
        events = api.kernels_logs_stream(kernel)
        with silence():
            first = next(events, None)
        if first is not None:
            log.show(itertools.chain([first], events))
    return log.events > before


def show_kept_log(api: Any, kernel: str, log: Log) -> None:
    """Show the rest of an ended session's log, where Kaggle gives it."""
    try:
        text = call(unhidden, api.kernels_logs, kernel, doing="Fetching the log", attempts=2)
    except UserError as error:
        say(str(error))
        return
    try:
        events = json.loads(text)
    except ValueError:
        events = [{"data": line} for line in text.splitlines()]
    log.show(event for event in events if isinstance(event, dict))
