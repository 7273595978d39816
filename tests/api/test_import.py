"""The import of the package, and how errors are shown."""

import re
import subprocess
import sys

import pytest

import kaggle_cifar as kc

LOADED = """
import sys
import kaggle_cifar as kc
for name in kc.__all__:
    getattr(kc, name)
print(sorted({"keras", "matplotlib", "pandas", "tensorflow"} & sys.modules.keys()))
"""

MISSING_RUN = """
import sys
import kaggle_cifar as kc
kc.set_folders(runs=sys.argv[1])
try:
    kc.find_run("unheard-of")
except kc.UserError as error:
    print(error)
"""


def test_error_advises_a_call_in_python(tmp_path):
    command = [sys.executable, "-c", MISSING_RUN, tmp_path]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert "kc.train()`" in shown.stdout, shown.stderr
    assert "kaggle-cifar" not in shown.stdout


def test_public_names_load_no_heavy_package():
    shown = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert shown.stdout == "[]\n", shown.stderr


def test_functions_win_over_modules_of_their_name():
    import kaggle_cifar.doctor
    import kaggle_cifar.search.search  # noqa: F401

    assert callable(kc.doctor)
    assert callable(kc.search)


def test_names_are_listed():
    assert set(kc.__all__) <= set(dir(kc))
    with pytest.raises(AttributeError, match="unheard_of"):
        _ = kc.unheard_of


@pytest.fixture
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    return InteractiveShell()


def test_error_is_one_sentence_in_a_notebook(shell, tmp_path, capsys):
    kc.set_folders(runs=tmp_path)
    shell.run_cell("import kaggle_cifar as kc; kc.find_run('unheard-of')")
    assert re.fullmatch("RunNotFoundError: .*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (KeyboardInterrupt(), "Stopped. Make the same call again to resume.\n"),
        (OSError(5, "Input/output error", "x"), "OSError: x: Input/output error.\n"),
    ],
)
def test_failure_outside_our_code_is_one_sentence(shell, monkeypatch, capsys, failure, shown):
    def failing():
        raise failure

    monkeypatch.setattr("kaggle_cifar.api.data.current_project", failing)
    result = shell.run_cell("import kaggle_cifar as kc; kc.inspect()")
    assert result.error_in_exec is failure
    assert capsys.readouterr().out == shown
