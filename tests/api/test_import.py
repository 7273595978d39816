"""The import of the package, and how errors are shown."""

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


def test_error_is_one_sentence_in_a_notebook(tmp_path):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    kc.set_folders(runs=tmp_path)
    try:
        kc.find_run("unheard-of")
    except kc.UserError:
        shown = shell._get_exc_info()
    assert shown[1]._render_traceback_() == [f"RunNotFoundError: {shown[1]}"]
