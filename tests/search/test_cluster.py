"""Searches and seeds on a cluster of two nodes that runs on this machine."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import cluster, search_space
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.search import search
from kaggle_cifar.search.search_space import Space
from kaggle_cifar.search.seeds_and_folds import train_seeds
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers import ROOT
from tests.helpers.small_data import project_in, write_training_data

MODEL1 = find_recipe("model1")
TRIALS = 6
EPOCHS = 10  # so many that two trials overlap on the two nodes
SPACE = {
    "epochs": [EPOCHS],
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch_size": [10, 20],
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("cluster"))
    write_training_data(project, 800)
    (project.data / "space.json").write_text(json.dumps(SPACE))
    return project


def check_node_differences(project) -> None:
    with pytest.MonkeyPatch.context() as patch:
        elsewhere = {"tensorflow": "1.0"}
        patch.setattr(cluster, "library_versions", lambda: elsewhere)  # in this process only
        with pytest.raises(cluster.UnfitNodeError, match=r"this machine has 1\.0") as caught:
            cluster.check_nodes(project)
        assert caught.value.fact == "tensorflow"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "touch", lambda self: None)
        patch.setattr(Path, "exists", lambda self: True)
        with pytest.raises(cluster.UnfitNodeError, match="does not see") as caught:
            cluster.check_nodes(project)
        assert Path(caught.value.fact).parent == project.runs
    assert not list(project.runs.glob(f"{cluster.NODE_CHECK}*"))


@pytest.mark.ray
@pytest.mark.slow
def test_grid_draw_on_ray_trains_the_draw_in_order(project, two_nodes, monkeypatch, capsys):
    grid = {"epochs": [1], "learning_rate": [0.01, 0.001], "optimizer": ["adam", "legacy-rmsprop"]}
    monkeypatch.setattr(search_space, "GRID", grid)
    space = Space(MODEL1, grid, "a small grid")
    on_cluster = Cluster(two_nodes.address)
    search(project, "grid", space, search_space.GRID_DRAW, 2, RunOptions(limit=20), on_cluster)
    recipes = [Run(project.runs / f"grid-trial{number}").read_recipe()[0] for number in (1, 2)]
    for recipe, setting in zip(recipes, search_space.draw_from_grid(2), strict=True):
        assert {key: getattr(recipe, key) for key in grid} == setting
    printed = capsys.readouterr().out
    assert "Best trial: grid-trial" in printed

    with on_cluster.connected(project):
        check_node_differences(project)
        with pytest.raises(cluster.ResourcesError, match="--gpus"):
            Cluster(gpus=8).resources()


@pytest.mark.ray
@pytest.mark.slow
def test_seeds_train_on_this_machine(project, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    runs = train_seeds(project, MODEL1, "on-ray", RunOptions(limit=20), 2, cluster=Cluster("local"))
    assert [run.read_recipe()[1].seed for run in runs] == [0, 1]
    assert all(run.finished for run in runs)
    printed = capsys.readouterr().out
    assert "on-ray, 2 seeds: mean validation accuracy" in printed
    assert any(line.startswith("on-ray-seed1 ") for line in printed.splitlines())


def start_search(project, address) -> subprocess.Popen:
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), "search", "model1", "--sampler", "tpe"]
    command += ["--trials", str(TRIALS), "--space", str(project.data / "space.json")]
    command += ["--address", address, "--name", "search"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def started_trials(project) -> set[str]:
    return {file.parent.name for file in project.runs.glob("search-trial*/run.json")}


def running_trials(project) -> set[str]:
    journal = json.loads((project.runs / "search" / "trials.json").read_text())
    return {name for name, trial in journal.items() if not trial["ended"]}


def finished_trials(project) -> dict[str, int]:
    """Return the time at which each finished trial got its result."""
    files = project.runs.glob("search-trial*/metrics.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.kill
def test_search_survives_its_driver_and_a_node(project, two_nodes):
    first = start_search(project, two_nodes.address)
    wait_until(lambda: finished_trials(project))
    first.kill()
    first.communicate()
    before = finished_trials(project)
    assert 0 < len(before) < TRIALS
    started, restarted_at = started_trials(project), time.time()

    second = start_search(project, two_nodes.address)

    def is_training(name: str) -> bool:
        """Whether the second driver has trained an epoch of an old trial or started a new one."""
        history = project.runs / name / "history.csv"
        is_new = name in started_trials(project) - started
        return is_new or (history.exists() and history.stat().st_mtime > restarted_at)

    def is_on_both_nodes() -> bool:
        running = running_trials(project)
        return len(running) == 2 and all(map(is_training, running))

    wait_until(is_on_both_nodes)
    two_nodes.remove_node(two_nodes.list_all_nodes()[1], allow_graceful=False)
    printed, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    assert "Resuming it, try 2 of 4." in printed
    after = finished_trials(project)
    assert {name: after[name] for name in before} == before  # none was trained again

    folder = project.runs / "search"
    results = pd.read_csv(folder / "results.csv")
    names = [f"search-trial{number}" for number in range(1, TRIALS + 1)]
    assert sorted(results["run"]) == names == sorted(after), printed
    assert results["learning_rate"].is_unique  # no trial was drawn twice
    highest = results.loc[results["validation_accuracy"].idxmax()]
    best = find_recipe(str(folder / "best_recipe.json"))
    assert best.learning_rate == highest["learning_rate"]
    assert best.batch_size == highest["batch_size"]
    for figure in ("trials", "optimisation_history", "parameter_importance"):
        assert (folder / "figures" / f"{figure}.png").exists()
    for name in names:
        run = Run(project.runs / name)
        assert run.read_recipe()[1].search == "search"
        assert len(run.read_history()) == run.read_metrics()["epochs"] <= EPOCHS
        assert not run.checkpoint_file.exists()


@pytest.mark.ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "nowhere"])
def test_address_without_a_cluster_is_an_error(project, address):
    unreachable = pytest.raises(cluster.ClusterUnreachableError)
    with unreachable as caught, Cluster(address).connected(project):
        pass
    assert caught.value.address == address


@pytest.mark.parametrize("missing", ["ray", "optuna"])
def test_missing_extra_is_an_error(project, monkeypatch, missing):
    monkeypatch.setattr(cluster, "find_spec", lambda name: name != missing)
    with pytest.raises(cluster.ExtraMissingError, match=r"'kaggle-cifar\[search\]'") as caught:
        train_seeds(project, MODEL1, "x", RunOptions(), 2, cluster=Cluster("auto"))
    assert caught.value.package == missing
