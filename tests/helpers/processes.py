"""Run the command line in a process of its own."""

import os
import subprocess
import sys
from typing import IO


def run_command(
    *arguments: object, stdout: IO[str] | int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with further variables in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "kaggle_cifar", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
