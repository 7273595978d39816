"""The notebook, executed on the sample in an environment in which the wheel is installed."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from kaggle_cifar.data.synthetic import SOLUTION, draw_sample
from kaggle_cifar.submission.score import read_solution
from tests.helpers import ROOT

NOTEBOOK = ROOT / "notebooks" / "cifar10.ipynb"
PARAMETERS = """
SOURCE = "sample"
RECIPE = "model1"
TIME_BUDGET = "20s"
SUBMIT = True

import kaggle_cifar
print(kaggle_cifar.__file__)
"""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell) -> str:
    """Return everything that a cell shows as text."""
    shown = []
    for output in cell.outputs:
        shown += [output.get("text", ""), *output.get("data", {}).values()]
    return "\n".join(map(str, shown))


def write_kernel(folder, scripts) -> None:
    """Describe the kernel of an environment for Jupyter; it does not see the sources."""
    start = [str(scripts / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": start, "display_name": "wheel", "env": {"PYTHONPATH": ""}}
    (folder / "kernels" / "wheel").mkdir(parents=True)
    (folder / "kernels" / "wheel" / "kernel.json").write_text(json.dumps(kernel))


def test_outputs_are_cleared(notebook):
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert not cell.outputs
        assert cell.execution_count is None


def test_notebook_names_no_other_repository(notebook):
    text = "".join(cell.source for cell in notebook.cells)
    named = re.findall(r"github(?:\.com)?/([\w-]+/[\w-]+)", text)
    assert set(named) == {"kaggle-cifar/kaggle-cifar"}


@pytest.mark.slow
def test_notebook_runs_on_the_sample(notebook, wheel_scripts, kaggle_site, tmp_path, monkeypatch):
    drawn = tmp_path / "drawn"
    draw_sample(drawn)
    solved = {number: (label, usage) for number, label, usage in read_solution(drawn / SOLUTION)}
    for number in range(1, 3001):
        label, usage = solved.get(number, ("cat", "ignored"))
        kaggle_site.solution[number] = (label, usage.title())
    for folder in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(folder, str(tmp_path / folder))
    write_kernel(tmp_path / "jupyter", wheel_scripts)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    notebook = notebook.copy()
    cells = {tag: cell for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    cells["parameters"].source = PARAMETERS
    folder = tmp_path / "project"
    folder.mkdir()
    client = NotebookClient(
        notebook, timeout=600, kernel_name="wheel", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    source = text_of(cells["parameters"]).strip()
    assert Path(source).is_relative_to(wheel_scripts.parent)
    for cell in code_cells(notebook):
        assert not re.search(r"(?i)warning:|warn\(|traceback", text_of(cell)), text_of(cell)
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell
    last = text_of(code_cells(notebook)[-1])
    assert "public score" in last
    assert "expected score" in last
    assert len(kaggle_site.submissions) == 1
