"""The entry point: closed streams, Ctrl-C during imports, a user without a home."""

import os
import subprocess
import sys

import pytest

from tests.helpers.no_home import run_all_without_home
from tests.helpers.small_data import write_test_data, write_training_data

WRITE = """
import sys
import click
from kaggle_cifar import cli
from kaggle_cifar.__main__ import main

@cli.cli.command()
def write():
    with open(sys.argv[2], "w") as file:
        click.echo("printed")
        click.echo("an error", err=True)
        file.write("content")

main()
"""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)], ids=str)
def test_closed_streams_do_not_spoil_files(tmp_path, closed):
    redirections = " ".join(f"{descriptor}>&-" for descriptor in closed)
    script = WRITE.replace("sys.argv[2]", repr(str(tmp_path / "file")))
    shell = ["bash", "-c", f'exec "$@" {redirections}', "bash"]
    done = subprocess.run(
        [*shell, sys.executable, "-c", script, "write"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "content"


INTERRUPTED_AT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the tests were started with
module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupt())
from kaggle_cifar.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("click", "runs"),
        ("filelock", "runs"),
        ("kaggle_cifar.recipes", "runs"),
        ("numpy", "inspect"),
        ("tensorflow", "inspect"),
        pytest.param("keras.src", "inspect", marks=pytest.mark.slow),
    ],
)
def test_interrupted_import_exits_without_traceback(project, module, command):
    write_training_data(project, 10)
    write_test_data(project, [1])
    folders = ["--data-dir", str(project.data), "--runs-dir", str(project.runs)]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module, *folders, command],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 130, done.stderr
    assert "Stopped." in done.stderr
    assert "Traceback" not in done.stderr


COMMANDS = [
    ["runs"],
    ["doctor"],
    ["download"],
    ["inspect"],
    ["train"],
    ["train", "--on", "kaggle"],
    ["search"],
    ["predict"],
    ["submit", "a.csv"],
    ["report"],
]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no passwd")
def test_commands_need_no_home(clean_home, tmp_path):
    done = run_all_without_home(tmp_path, COMMANDS)
    statuses = [line for line in done.stdout.splitlines() if line.startswith("status ")]
    assert statuses == ["status 0", *["status 1"] * (len(COMMANDS) - 1)], done.stderr
    assert "Traceback" not in done.stderr
