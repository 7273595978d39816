"""Runs the command line for a user of whom the system knows no home."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT_HOME = """
import os, pwd

def unknown(_):
    raise KeyError("uid not found")

pwd.getpwuid = unknown
for name in ("HOME", "USERPROFILE", "USER", "LOGNAME", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
from kaggle_cifar.__main__ import main
main()
"""


def run_without_home(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`; see that no library made a folder `~` there."""
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    (folder / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not (folder / "~").exists()
    assert not list((folder / "temporary").glob("kaggle-cifar-home-*"))
    return done
