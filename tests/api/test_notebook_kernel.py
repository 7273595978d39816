"""What a notebook's kernel shows: errors, figures and progress bars."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

from kaggle_cifar import console
from kaggle_cifar.files import ProjectPaths
from tests.helpers import ROOT
from tests.helpers.small_runs import write_run

CELLS = [
    "import kaggle_cifar as kc",
    'kc.find_run("unheard-of")',
    'kc.find_run("one").plot_curves()',
    "kc.train(3)",
    """
from kaggle_cifar.console import progress_bar
with progress_bar("Reading", 3, "files") as bar:
    bar.write("a line")
    bar.update(3)
""",
]


@pytest.mark.slow
def test_kernel_shows_sentences_figures_and_bars(sample, tmp_path, monkeypatch):
    write_run(ProjectPaths(), "one")
    parts = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, parts)))
    for folder in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(folder, str(tmp_path / folder))
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(sample)}},
    )
    client.execute()
    _, [error], [figure], [type_error], bar = (cell.outputs for cell in notebook.cells)
    [line] = error["traceback"]
    assert line.startswith("RunNotFoundError: There is no run 'unheard-of'")
    assert "image/png" in figure["data"]
    assert len(type_error["traceback"]) == 1
    assert "recipe must be a Recipe" in type_error["evalue"]
    widgets = "application/vnd.jupyter.widget-view+json"
    assert any(widgets in output.get("data", {}) for output in bar)
    assert [output["text"] for output in bar if output.get("name") == "stdout"] == ["a line\n"]
    assert not [output for output in bar if output.get("name") == "stderr"]


def test_bar_is_plain_without_ipywidgets(monkeypatch):
    monkeypatch.setattr(console.importlib.util, "find_spec", lambda name: None)
    assert console.notebook_bar.__wrapped__() is console.Bar
