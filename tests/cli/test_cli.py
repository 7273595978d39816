"""The group of commands, its help, and the exit statuses."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kaggle_cifar import cli
from tests.helpers.processes import run_command

COMMANDS = sorted(cli.cli.commands)
HEAVY = {"tensorflow", "keras", "kaggle", "pandas", "py7zr", "numpy", "matplotlib", "ray"}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_command_and_options(command):
    result = CliRunner().invoke(cli.cli, [command, "--help"])
    assert result.exit_code == 0
    examples = result.output.partition("Options:")[0].splitlines()[1:]
    assert any(line.startswith("    kaggle-cifar ") and f" {command}" in line for line in examples)
    for parameter in cli.cli.commands[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_group_help_shows_whole_sentences():
    result = CliRunner().invoke(cli.cli, ["--help"])
    listing = result.output.partition("Commands:")[2]
    assert "..." not in listing
    assert [line.split()[0] for line in listing.splitlines() if line] == list(cli.cli.commands)


def test_help_imports_nothing_heavy():
    script = (
        "import sys; from kaggle_cifar import cli; cli.cli(['--help'], standalone_mode=False);"
        f"print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_user_error_exits_with_1(run, tmp_path):
    result = run("--data-dir", tmp_path, "extract")
    assert result.status == 1
    assert result.errors.startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "Stopped. Run the same command to resume."),
        (click.Abort(), 130, "Stopped. Run the same command to resume."),
        (
            PermissionError(13, "Permission denied", "a/file"),
            1,
            "Error: a/file: Permission denied.",
        ),
        (OSError("the path is too long"), 1, "Error: the path is too long."),
    ],
)
def test_errors_without_traceback_have_a_status(run, monkeypatch, error, status, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli.cli, "main", fail)
    assert run("runs") == (status, "", f"{message}\n")


def test_version_exits_with_0(run):
    assert run("--version") == (0, f"kaggle-cifar, version {cli.__version__}\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /dev/full")
def test_full_standard_output_exits_with_1(tmp_path):
    with Path("/dev/full").open("w") as full:
        done = run_command("--runs-dir", tmp_path, "runs", stdout=full)
    assert done.returncode == 1
    assert "cannot print the output" in done.stderr
    assert "Traceback" not in done.stderr


def test_ascii_terminal_prints_replacements(tmp_path):
    done = run_command("--runs-dir", tmp_path / "Läufe", "runs", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "L?ufe" in done.stdout


@pytest.mark.parametrize(
    "arguments", [["check", "{}"], ["train", "{}.json"], ["--data-dir", "{}", "extract"], ["{}"]]
)
def test_errors_escape_control_characters(run, arguments):
    result = run(*(argument.format("a\x1b[2J\u202eb\x9b") for argument in arguments))
    assert result.status in (1, 2)
    assert "\\u202eb\\x9b" in result.errors
    assert not {"\x1b", "\u202e", "\x9b"} & set(result.errors)


def test_environment_sets_the_folders(run, monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLE_CIFAR_RUNS_DIR", str(tmp_path / "elsewhere"))
    result = run("predict")
    assert result.status == 1
    assert f"{tmp_path}/elsewhere" in result.errors
