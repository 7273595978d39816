"""Work on several cores whose results come in order."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

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


def read_ahead(items: Iterator[T], pool: ThreadPoolExecutor, ahead: int) -> Iterator[T | None]:
    """Return `items`, drawn by the only thread of `pool` up to `ahead` before they are taken.

    None follows the last item. The thread starts at once.
    """
    return in_order((pool.submit(next, items, None) for _ in count()), ahead)
