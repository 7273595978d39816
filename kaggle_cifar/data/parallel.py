"""Work in other threads whose results are taken in order."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

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


def read_ahead(items: Iterator[T], pool: ThreadPoolExecutor, ahead: int) -> Iterator[T | None]:
    """Return `items`, taken by the one thread of `pool` up to `ahead` before they are needed.

    The thread starts at once. None follows the last item.
    """
    return in_order((pool.submit(next, items, None) for _ in count()), ahead)
