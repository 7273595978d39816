"""The commands that use trained runs."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.submission import record
from kaggle_cifar.training import find_runs
from kaggle_cifar.training import run as run_module

predict_module = importlib.import_module("kaggle_cifar.prediction.predict")


@pytest.mark.parametrize("output", ["runs/model1/metrics.csv", "s.json"])
def test_predict_checks_the_output_first(run, monkeypatch, tmp_path, output):
    chosen = run_module.Run(tmp_path / "runs" / "model1")
    monkeypatch.setattr(find_runs, "chosen_runs", lambda *_: [chosen])
    monkeypatch.setattr(predict_module, "predict", lambda *_: pytest.fail("it predicted"))
    errors = []
    monkeypatch.setattr("kaggle_cifar.cli.report_error", lambda error: errors.append(error) or 1)
    result = run("--runs-dir", tmp_path / "runs", "predict", "--output", tmp_path / output)
    assert result.status == 1
    assert isinstance(errors[0], record.CsvNameError)
    assert errors[0].path == tmp_path / output


@pytest.fixture
def classified(monkeypatch):
    """Classify every picture as a cat, except those that cannot be read."""
    from kaggle_cifar.prediction import classify, pictures

    def read_picture(path):
        if path.name == "missing.png":
            raise UserError(f"{path} is missing.")
        return path

    monkeypatch.setattr(find_runs, "chosen_runs", lambda _, names: [SimpleNamespace(name="one")])
    monkeypatch.setattr(pictures, "read_picture", read_picture)
    monkeypatch.setattr(classify, "classify", lambda _, given: given)
    monkeypatch.setattr(classify, "as_json", lambda picture: {"image": str(picture)})
    monkeypatch.setattr(classify, "as_lines", lambda picture: f"{picture}: cat")


def test_classify_continues_after_a_failure(run, classified):
    result = run("classify", "a.png", "missing.png", "b.png")
    assert result.output == "a.png: cat\nb.png: cat\n"
    assert result.status == 1
    assert "missing.png is missing." in result.errors
    assert "1 of 3 pictures" in result.errors


def test_classify_prints_failures_in_json(run, classified):
    result = run("classify", "missing.png", "--json", "--run", "one")
    failure = {"image": "missing.png", "error": "missing.png is missing."}
    assert json.loads(result.output) == {"run": "one", "images": [failure]}
    assert result.status == 1


@pytest.mark.parametrize("options", [[], ["--output", "elsewhere"]])
def test_export_writes_to_the_run_or_output(run, monkeypatch, options):
    export_module = importlib.import_module("kaggle_cifar.prediction.export")
    folders = []
    monkeypatch.setattr(find_runs, "find_run", lambda project, name: run_module.Run(Path(name)))
    monkeypatch.setattr(export_module, "export", lambda _, __, folder: folders.append(folder))
    assert run("export", "one", *options).status == 0
    assert folders == [Path(*(options[1:] or ["one", "export"]))]
