"""Set-up by make: CUDA for TensorFlow is installed if NVIDIA's driver lists a GPU."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tests.helpers.nvidia import write_nvidia_smi

pytestmark = [
    pytest.mark.skipif(not shutil.which("make"), reason="make is missing"),
    pytest.mark.skipif(sys.platform != "linux", reason="make looks for the driver on Linux"),
]

LISTED = "GPU 0: Tesla T4 (UUID: GPU-0123)"
PYTHON = """#!/bin/sh
echo "$@" >> calls
"""


@pytest.fixture
def clone(tmp_path):
    """A folder with the Makefile and an environment whose Python notes how it is called."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "constraints", tmp_path / "constraints")
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(PYTHON)
    (binaries / "python").chmod(0o755)
    return tmp_path


@pytest.fixture
def outdate(clone):
    """Return a function that makes the set-up older than pyproject.toml."""
    return lambda: os.utime(clone / ".venv" / "installed", (0, 0))


@pytest.fixture
def set_up(clone, monkeypatch):
    """Return a function that runs `make setup`; it returns the packages and what was printed."""
    monkeypatch.delenv("GPU", raising=False)

    def run(listed, *variables, status=0):
        monkeypatch.setenv("PATH", write_nvidia_smi(clone / "driver", listed, status))
        (clone / "calls").unlink(missing_ok=True)
        done = subprocess.run(
            ["make", "setup", *variables], cwd=clone, capture_output=True, text=True, check=True
        )
        calls = clone / "calls"
        return calls.read_text().split()[-1] if calls.exists() else None, done.stdout

    return run


def test_driver_with_a_gpu_installs_cuda_and_says_so(set_up):
    package, printed = set_up(LISTED)
    assert package == ".[gpu]"
    assert "GPU=no" in printed


@pytest.mark.parametrize(("listed", "status"), [("", 0), ("NVIDIA-SMI has failed.", 9)])
def test_driver_without_a_gpu_installs_no_cuda(set_up, listed, status):
    package, printed = set_up(listed, status=status)
    assert package == "."
    assert "GPU" not in printed


def test_cuda_is_declined_for_later_calls_too(set_up, outdate):
    assert set_up(LISTED, "GPU=no")[0] == "."
    assert set_up(LISTED)[0] is None
    outdate()
    assert set_up(LISTED)[0] == "."
    outdate()
    assert set_up(LISTED, "GPU=yes")[0] == ".[gpu]"


def test_driver_that_was_added_is_found_at_the_next_set_up(set_up, outdate):
    assert set_up("")[0] == "."
    outdate()
    assert set_up(LISTED)[0] == ".[gpu]"
