"""A fixture that runs the command line in this process."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from kaggle_cifar import cli


class Result(NamedTuple):
    """The exit status of a command, and what it printed."""

    status: int
    output: str
    errors: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Return a function that runs a command and returns its result."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["kaggle-cifar", *map(str, arguments)])
        capsys.readouterr()
        status: object = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        assert isinstance(status, int)
        return Result(status, *capsys.readouterr())

    return run
