"""Runs as objects: what they show, and what happens if their folder vanishes."""

import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import kaggle_cifar as kc
from kaggle_cifar.api.runs import RunGoneError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.training.find_runs import DuplicateRunError
from kaggle_cifar.training.run import RunUnfinishedError
from tests.helpers.small_runs import write_run


@pytest.fixture
def run(sample):
    write_run(ProjectPaths(), "one")
    yield kc.find_run("one")
    shutil.rmtree("runs", ignore_errors=True)


def test_run_has_metrics_history_and_recipe(run):
    assert run.name == "one"
    assert run.metrics["epochs"] == 4
    assert isinstance(run.history, pd.DataFrame)
    assert list(run.history["epoch"]) == [1, 2, 3, 4]
    assert isinstance(run.recipe, kc.Recipe)


def test_run_is_a_table_in_a_notebook(run):
    shown = run._repr_html_()
    assert shown.startswith("<table>")
    assert "validation accuracy" in shown
    assert "validation accuracy" in repr(run)


@pytest.mark.parametrize("plot", ["plot_curves", "plot_confusion", "plot_gallery"])
def test_figures_are_shown_once(run, plot):
    figure = getattr(run, plot)()
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    from matplotlib import pyplot

    assert not pyplot.get_fignums()  # pyplot would show its figures again


def test_report_is_shown_inline(run):
    page = run.report()
    assert page.path.read_text().startswith("<!DOCTYPE html>")
    assert "<iframe srcdoc=" in page._repr_html_()


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.metrics,
        lambda run: run.history,
        lambda run: run.recipe,
        lambda run: run.plot_curves(),
        lambda run: run.report(),
        lambda run: run.classify("cat.png"),
        lambda run: run.export(),
        lambda run: run.predict(),
        kc.predict,
    ],
)
def test_vanished_folder_is_named(run, use):
    shutil.rmtree(run.folder)
    with pytest.raises(RunGoneError) as caught:
        use(run)
    assert caught.value.folder == run.folder
    assert not run.finished
    assert "is missing" in repr(run)
    assert "is missing" in run._repr_html_()


def test_unfinished_run_has_no_metrics(run):
    (run.folder / "metrics.json").unlink()
    assert not run.finished
    assert len(run.history) == 4
    assert "unfinished" in repr(run)
    for use in (lambda: run.metrics, run.plot_confusion, run.export):
        with pytest.raises(RunUnfinishedError):
            use()


def test_table_of_runs_has_values(run):
    write_run(ProjectPaths(), "two", accuracy=0.9, seed=1)
    table = kc.runs()
    assert list(table.index) == ["one", "two"]
    assert table["validation_accuracy"].dtype == np.float64
    assert table.loc["two", "seed"] == 1
    assert table["public_score"].isna().all()


def test_table_of_no_runs_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(kc.runs()) == 0


def test_folders_come_from_the_environment(tmp_path, monkeypatch):
    write_run_folder = tmp_path / "elsewhere"
    monkeypatch.setenv("KAGGLE_CIFAR_RUNS_DIR", str(write_run_folder))
    with pytest.raises(kc.UserError, match="elsewhere"):
        kc.find_run("one")
    kc.set_folders(runs=tmp_path / "chosen")
    kc.set_folders(data=tmp_path)
    with pytest.raises(kc.UserError, match="chosen"):
        kc.find_run("one")


def test_predict_takes_each_run_once(run):
    with pytest.raises(DuplicateRunError):
        kc.predict(run, "one")


def test_predict_takes_runs_or_names(run):
    with pytest.raises(TypeError, match="a Run or the name of one"):
        kc.predict(3)
