"""Run the command line for a user without a home folder."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

WITHOUT_HOME = """
import os, pwd

def unknown(_):
    raise KeyError("uid not found")

pwd.getpwuid = unknown
for name in ("HOME", "USERPROFILE", "USER", "LOGNAME", "LNAME", "USERNAME"):
    os.environ.pop(name, None)
import json, sys
from kaggle_cifar.__main__ import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code
    print(f"status {status}")
sys.exit(status)
"""


def run_without_home(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`; check that no library creates a folder `~` there."""
    return run_all_without_home(folder, [arguments])


def run_all_without_home(
    folder: Path, commands: Sequence[Sequence[str]]
) -> subprocess.CompletedProcess[str]:
    """Run commands in one process, which prints their statuses and exits with the last one."""
    environment = {**os.environ, "TMPDIR": str(folder / "temporary")}
    (folder / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HOME, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert not (folder / "~").exists()
    assert not list((folder / "temporary").glob("kaggle-cifar-home-*"))
    return done
