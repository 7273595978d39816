"""A kill that is simulated in the process of the test."""

from typing import Any

import pytest


class Killed(BaseException):
    """Stands for SIGKILL: the program must not handle it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: int) -> None:
    """Raise Killed instead of the `count`-th call of a function of `owner`."""
    original, calls = getattr(owner, name), []

    def killing(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == count:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, killing)
