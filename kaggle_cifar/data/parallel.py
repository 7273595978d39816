"""Work on several cores with the results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

# More threads gain little here, and each costs memory.
THREADS = min(4, os.cpu_count() or 1)


def in_order(futures: Iterator["Future[T]"], ahead: int) -> Iterator[T]:
    """Return the results of `futures` in order.

    The first `ahead` futures are taken at once, then one more with each result. So an iterator that
    submits work when it advances never runs further ahead.
    """
    waiting = deque(islice(futures, ahead))

    def results() -> Iterator[T]:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(islice(futures, 1))
            yield result

    return results()


def run_after(before: "Future[Any] | None", function: Callable[..., T], *arguments: Any) -> T:
    """Call `function` once `before` is done; if that failed, raise the same error."""
    if before is not None:
        before.result()
    return function(*arguments)
