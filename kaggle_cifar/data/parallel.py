"""Work on several cores whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

# More gain little here and cost memory: each holds what it works on.
THREADS = min(4, os.cpu_count() or 1)


def in_order(futures: Iterator["Future[T]"], ahead: int) -> Iterator[T]:
    """Return the results of `futures`, in their order.

    The first `ahead` futures are taken at once and one more with each result, so that an iterator
    which submits as it is advanced is never further ahead than that.
    """
    waiting = deque(islice(futures, ahead))

    def results() -> Iterator[T]:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(islice(futures, 1))
            yield result

    return results()


def run_after(before: "Future | None", function: Callable[..., T], *arguments: Any) -> T:
    """Call `function` once `before` is done; where that failed, fail alike."""
    if before is not None:
        before.result()
    return function(*arguments)
