"""Searches and seeds on a cluster of two nodes, simulated on this machine; what dies goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from ray.cluster_utils import Cluster as TwoNodes

from kaggle_cifar.errors import UserError
from kaggle_cifar.recipes import find_recipe
from kaggle_cifar.search import cluster
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.seeds_and_folds import train_seeds
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers import ROOT
from tests.helpers.small_data import project_in, write_training_data

TRIALS = 8
EPOCHS = 16  # so long that the second node, which takes seconds to start, gets its share
SPACE = {
    "epochs": [EPOCHS],
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "batch_size": [10, 20],
}


@pytest.fixture(scope="module")
def two_nodes():
    nodes = TwoNodes()
    for _ in range(2):
        nodes.add_node(num_cpus=1, include_dashboard=False)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("cluster"))
    write_training_data(project, 800)
    (project.data / "space.json").write_text(json.dumps(SPACE))
    return project


def start_search(project, address) -> subprocess.Popen:
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), "search", "model1", "--sampler", "tpe"]
    command += ["--trials", str(TRIALS), "--space", str(project.data / "space.json")]
    command += ["--address", address, "--name", "search"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begun(project) -> set[str]:
    """Return the trials that were begun."""
    return {file.parent.name for file in project.runs.glob("search-trial*/run.json")}


def at_work(project) -> set[str]:
    """Return the trials that were begun and neither ended nor stopped."""
    journal = json.loads((project.runs / "search" / "trials.json").read_text())
    return {name for name, trial in journal.items() if not trial["ended"]}


def finished(project) -> dict[str, int]:
    """Return when each trial with a result got it."""
    files = project.runs.glob("search-trial*/metrics.json")
    return {file.parent.name: file.stat().st_mtime_ns for file in files}


def test_a_search_goes_on_after_its_driver_and_without_a_node(project, two_nodes):
    first = start_search(project, two_nodes.address)
    until(lambda: finished(project))
    first.kill()
    first.communicate()
    before = finished(project)
    assert 0 < len(before) < TRIALS
    running = begun(project)

    again = start_search(project, two_nodes.address)
    # Two that the first driver had not begun are at work: one on each node.
    until(lambda: len(at_work(project)) == 2 and at_work(project) <= begun(project) - running)
    two_nodes.remove_node(two_nodes.list_all_nodes()[1], allow_graceful=False)
    printed, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert re.search(r"search-trial\d broke off \(.+\): it goes on, try 2 of 4", printed)
    after = finished(project)
    assert {name: after[name] for name in before} == before  # none was trained again

    folder = project.runs / "search"
    results = pd.read_csv(folder / "results.csv")
    names = [f"search-trial{number}" for number in range(1, TRIALS + 1)]
    assert sorted(results["run"]) == names == sorted(after), printed
    assert results["learning_rate"].is_unique  # nothing was drawn once more
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


def die_once(marker: Path) -> None:
    """Kill this process the first time."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def die(marker: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(marker: Path) -> None:
    raise UserError("a sentence")


def test_seeds_on_this_machine_and_what_dies_is_tried_again(project, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the processes that Ray starts
    recipe = find_recipe("model1")
    options = RunOptions(limit=20)
    runs = train_seeds(project, recipe, "on-ray", options, 2, cluster=Cluster("local"))
    assert [run.read_recipe()[1].seed for run in runs] == [0, 1]
    assert all(run.finished for run in runs)
    printed = capsys.readouterr().out
    assert "on-ray, 2 seeds: mean validation accuracy" in printed
    assert re.search(r"^on-ray-seed1 +model1 +25", printed, re.MULTILINE)

    with Cluster("local").connected(project) as share:
        tasks = {"one": (die_once, (tmp_path / "marker",)), "two": (fail, (tmp_path,))}
        with pytest.raises(UserError, match=r"^a sentence$"):
            cluster.run_tasks(tasks, share, lambda: None, print)
        assert "one broke off" in capsys.readouterr().out
        with pytest.raises(UserError, match="three broke off 4 times"):
            cluster.run_tasks({"three": (die, (tmp_path,))}, share, lambda: None, print)
        with pytest.raises(UserError, match="--gpus fewer"):
            Cluster(gpus=8)._share()
        check_other_nodes(project)


def check_other_nodes(project) -> None:
    """See that versions and storage which differ between nodes are named."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "version", lambda package: "1.0")  # in this process alone
        with pytest.raises(UserError, match=r"has tensorflow .+, this machine has 1\.0"):
            cluster.check_unfit_nodes(project)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "touch", lambda self: None)
        patch.setattr(Path, "exists", lambda self: True)
        with pytest.raises(UserError, match=f"does not see {re.escape(str(project.runs))} as"):
            cluster.check_unfit_nodes(project)
    assert not list(project.runs.glob(f"{cluster.NODE_CHECK}*"))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "nowhere"])
def test_no_cluster_at_the_address_is_a_sentence(project, address):
    with pytest.raises(UserError, match=address), Cluster(address).connected(project):
        pass


def test_without_ray_the_extra_is_named(project, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'kaggle-cifar\[search\]'"):
        train_seeds(project, find_recipe("model1"), "x", RunOptions(), 2, cluster=Cluster("auto"))
