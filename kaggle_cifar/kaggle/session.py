"""HTTP sessions in which every request has a timeout."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

Timeout = tuple[float, float]  # seconds to connect, and without a byte

TIMEOUT: Timeout = (10.0, 30.0)

# The kaggle client passes no timeout on, so this variable carries it past the client.
_timeout: ContextVar[Timeout | None] = ContextVar("timeout", default=None)


@contextmanager
def use_timeout(timeout: Timeout | None) -> Iterator[None]:
    """Use another timeout than TIMEOUT for all requests of the block."""
    token = _timeout.set(timeout)
    try:
        yield
    finally:
        _timeout.reset(token)


def current_timeout() -> Timeout:
    """Return the timeout that requests have now."""
    return _timeout.get() or TIMEOUT


class TimeoutAdapter(HTTPAdapter):
    """Sends each request with the current timeout, whatever the caller gave."""

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Send a request; `options` are those that a session passes to its adapter."""
        return super().send(request, **{**options, "timeout": current_timeout()})


def mount_timeouts(session: requests.Session, retries: int = 0) -> None:
    """Give all requests of a session the current timeout; repeat those that get no answer."""
    # 0 is more than no retries for requests: it keeps a read timeout apart from a lost connection.
    adapter = TimeoutAdapter(max_retries=Retry(retries, backoff_factor=0.5) if retries else 0)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)


def open_session(retries: int = 0) -> requests.Session:
    """Return a session without credentials, for signed links."""
    session = requests.Session()
    mount_timeouts(session, retries)
    return session
