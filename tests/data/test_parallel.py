from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from kaggle_cifar.data.parallel import in_order, read_ahead


def test_in_order_submits_no_further_than_asked():
    submitted = []
    with ThreadPoolExecutor(2) as pool:
        results = in_order((pool.submit(pow, submitted.append(i) or i, 2) for i in count()), 3)
        assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
    assert submitted == list(range(7))


def test_read_ahead_gives_all_items_then_none():
    with ThreadPoolExecutor(1) as pool:
        items = read_ahead(iter("abc"), pool, ahead=2)
        assert [next(items) for _ in range(5)] == ["a", "b", "c", None, None]


def test_read_ahead_raises_after_the_items_before():
    def failing():
        yield 1
        raise EOFError

    with ThreadPoolExecutor(1) as pool:
        items = read_ahead(failing(), pool, ahead=5)
        assert next(items) == 1
        with pytest.raises(EOFError):
            next(items)
