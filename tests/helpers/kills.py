"""Run the command line and kill it at the n-th call of a function.

    python kills.py pathlib:Path.replace 3 --data-dir data extract

Between the number and the command, `module:NAME=8` sets an integer.
"""

import importlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_and_kill(where: str, calls: int, *arguments: str) -> None:
    """Run the command in a process of its own, which must die at that call."""
    command = [sys.executable, __file__, where, str(calls), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def killing(function: Callable, calls: int) -> Callable:
    """Return a function that kills this process instead of its n-th call."""

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call


def owner_of(where: str) -> tuple[Any, str]:
    """Return the module or class, and the name in it, that `module:Class.name` means."""
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name)
    return owner, name


def main() -> None:
    where, calls, *arguments = sys.argv[1:]
    while match := re.fullmatch(r"([\w.]+:\w+)=(\d+)", arguments[0]):
        setattr(*owner_of(match[1]), int(match[2]))
        arguments.pop(0)
    owner, name = owner_of(where)
    setattr(owner, name, killing(getattr(owner, name), int(calls)))
    sys.argv[1:] = arguments
    from kaggle_cifar import cli

    cli.main()


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    main()
