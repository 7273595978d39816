"""Shell completion, by the protocol of click's scripts for bash, zsh and fish."""

import shlex
import shutil
import subprocess
import sys

import pytest

from kaggle_cifar import cli, recipes
from tests.cli.test_cli import HEAVY
from tests.helpers.processes import run_command

VARIABLE = "_KAGGLE_CIFAR_COMPLETE"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A folder of runs, set by the environment, with three runs, a search and a foreign folder."""
    monkeypatch.setenv("KAGGLE_CIFAR_RUNS_DIR", str(tmp_path / "runs"))
    for name in ("first", "first-seed1", "second"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "wide").mkdir()
    (tmp_path / "runs" / "wide" / "search.json").write_text("{}")
    (tmp_path / "runs" / "fig").mkdir()


def complete(line: str) -> list[tuple[str, str]]:
    """Return the kind and the value of each completion of the last word, as bash gets them."""
    count = len(shlex.split(line)) - (not line.endswith(" "))
    done = run_command(**{VARIABLE: "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return [tuple(item.split(",", 1)) for item in done.stdout.split()]


def values(line: str) -> list[str]:
    return [value for kind, value in complete(line) if kind == "plain"]


def test_completion_offers_commands_and_options():
    assert values("kaggle-cifar ") == list(cli.cli.commands)
    assert values("kaggle-cifar ex") == ["extract", "export"]
    assert "--time-budget" in values("kaggle-cifar train --")
    assert values("kaggle-cifar train --on ") == ["kaggle"]


def test_completion_offers_recipes_or_files():
    assert values("kaggle-cifar train ") == list(recipes.RECIPES)
    fast = [name for name in recipes.RECIPES if name.startswith("airbench9")]
    assert values("kaggle-cifar search airbench9") == fast
    assert complete("kaggle-cifar train own") == [("file", "own")]


@pytest.mark.parametrize(
    "command", ["predict", "report", "export", "classify --run", "train --name"]
)
def test_completion_offers_runs(command):
    assert values(f"kaggle-cifar {command} f") == ["first", "first-seed1"]


def test_completion_offers_each_run_once():
    assert values("kaggle-cifar predict first ") == ["first-seed1", "second"]


def test_completion_offers_searches():
    assert values("kaggle-cifar search --name ") == ["wide"]


def test_completion_reads_the_folder_on_the_command_line(tmp_path):
    (tmp_path / "other" / "third").mkdir(parents=True)
    (tmp_path / "other" / "third" / "run.json").write_text("{}")
    assert values(f"kaggle-cifar --runs-dir {tmp_path / 'other'} report ") == ["third"]
    assert values(f"kaggle-cifar --runs-dir {tmp_path / 'missing'} report ") == []


def test_completion_imports_nothing_heavy():
    script = (
        "import atexit, os, sys; from kaggle_cifar import cli;"
        f"atexit.register(lambda: print(sorted({HEAVY} & set(sys.modules))));"
        f"os.environ |= {{'{VARIABLE}': 'bash_complete', 'COMP_CWORD': '2',"
        "'COMP_WORDS': 'kaggle-cifar predict s'}; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["plain,second", "[]"], done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_registers_completion_with_the_shell(shell):
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("needs bash")  # click asks it for its version
    done = run_command(**{VARIABLE: f"{shell}_source"})
    assert done.returncode == 0, done.stderr
    assert f"{VARIABLE}={shell}_complete" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)
