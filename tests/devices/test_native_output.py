"""What native code prints is shown if its process fails or dies, and errors always."""

import os
import subprocess
import sys

import pytest

from kaggle_cifar.devices.native_output import native_information_discarded

RUN = """
import os, sys
from kaggle_cifar.devices.native_output import native_output_held_back
with native_output_held_back():
    os.write(2, b"native\\n")
    {end}
os.write(2, b"later\\n")
"""


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        ("pass", ["later"]),
        ("raise ImportError('x')", ["native", "ImportError: x"]),
        ("raise KeyboardInterrupt", ["KeyboardInterrupt"]),
        pytest.param(
            "os.abort()",
            ["native"],
            marks=pytest.mark.skipif(sys.platform == "win32", reason="Windows reports more"),
        ),
    ],
)
def test_output_is_printed_if_the_process_fails(end, lines):
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(end=end)], capture_output=True, text=True
    )
    printed = [line for line in done.stderr.splitlines() if not line.startswith((" ", "Traceback"))]
    assert printed == lines


def test_native_errors_are_not_discarded(capfd):
    with native_information_discarded():
        for line in ("I0000 compiled", "WARNING: All log messages before absl::x", "E0000 failed"):
            os.write(2, f"{line}\n".encode())
    assert capfd.readouterr().err == "E0000 failed\n"
