"""Kill parts of a search on a cluster of two simulated nodes, and time the search.

    python benchmarks/cluster.py

The script draws a small competition. A search of twelve trials must end with twelve results, even
if its second node is killed. If its driver is killed, it must resume without training a finished
trial again. The trials are also timed compared with a plain loop, and two workers compared with
one. The script needs neither data nor a network, but Ray and Optuna (the extra `search`).
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from kaggle_cifar.data.extract import extract
from kaggle_cifar.data.synthetic import draw_sample
from kaggle_cifar.files import ProjectPaths, read_json
from kaggle_cifar.search.cluster import require_ray
from kaggle_cifar.search.search import train_in_turn
from kaggle_cifar.search.search_space import student_grid
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run

TRIALS = 12
SHORT = ("--sampler", "tpe", "--trials", str(TRIALS), "--epochs", "3", "--limit", "400")
WAIT = 600.0  # seconds for anything to happen


def main() -> None:
    """Measure and print."""
    require_ray()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        project = ProjectPaths(
            Path(scratch, "data"), Path(scratch, "runs"), Path(scratch, "submissions")
        )
        draw_sample(project.raw)
        extract(project)
        for part in arguments.parts:
            PARTS[part](project)


@contextmanager
def cluster_of(*cores: int) -> Iterator[Any]:
    """Start a node for each number of cores; the first one is the head."""
    from ray.cluster_utils import Cluster  # once its environment is set

    cluster = Cluster()
    try:
        for number in cores:
            cluster.add_node(num_cpus=number, include_dashboard=False)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def search(project: ProjectPaths, address: str, *options: str) -> subprocess.Popen[str]:
    """Start a search as a user would."""
    return call(project, "search", "--address", address, *options)


def call(project: ProjectPaths, *arguments: str) -> subprocess.Popen[str]:
    """Start a command as a user would."""
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("It took too long.")
        time.sleep(0.2)


def finished(project: ProjectPaths, name: str) -> list[Run]:
    """Return the search's finished runs."""
    runs = (Run(project.runs / f"{name}-trial{n}") for n in range(1, TRIALS + 1))
    return [run for run in runs if run.finished]


def at_work(project: ProjectPaths, name: str) -> list[Run]:
    """Return the search's runs that are training."""
    journal = project.runs / name / "trials.json"
    trials = read_json(journal) if journal.exists() else {}
    runs = (Run(project.runs / trial) for trial, state in trials.items() if not state["ended"])
    return [run for run in runs if run.description_file.exists()]


def kill_a_node(project: ProjectPaths) -> None:
    """Kill a node while it trains, after some trials have finished."""
    with cluster_of(1, 1) as cluster:
        process = search(project, cluster.address, *SHORT, "--name", "node")
        until(lambda: len(finished(project, "node")) >= 3 and len(at_work(project, "node")) == 2)
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        output, _ = process.communicate(timeout=WAIT)
    results = pd.read_csv(project.runs / "node" / "results.csv")
    retried = re.findall(r"(\S+) died \(", output)
    print(
        f"a node killed: status {process.returncode}, {len(results)} results of {TRIALS} trials, "
    )
    print(f"tried again: {', '.join(retried)}", flush=True)


def kill_the_driver(project: ProjectPaths) -> None:
    """Kill the driver of a search and start it again."""
    with cluster_of(1, 1) as cluster:
        process = search(project, cluster.address, *SHORT, "--name", "driver")
        until(lambda: len(finished(project, "driver")) >= 4)
        process.kill()
        process.wait()
        time.sleep(2)
        before = {
            run.name: run.metrics_file.stat().st_mtime_ns for run in finished(project, "driver")
        }
        process = search(project, cluster.address, *SHORT, "--name", "driver")
        process.communicate(timeout=WAIT)
    after = {run.name: run.metrics_file.stat().st_mtime_ns for run in finished(project, "driver")}
    again = [name for name in before if after[name] != before[name]]
    print(
        f"the driver killed after {len(before)} of {TRIALS} trials: status {process.returncode}, "
    )
    print(
        f"{len(after)} results in the end; finished trials trained again: {again or 'none'}",
        flush=True,
    )


def kill_a_seeds_node(project: ProjectPaths) -> None:
    """Kill a node while it trains one of two seeds."""
    with cluster_of(1, 1) as cluster:
        options = ("--seeds", "2", "--epochs", "6", "--limit", "1000", "--name", "seeds")
        process = call(project, "train", "model1", *options, "--address", cluster.address)
        histories = [project.runs / f"seeds-seed{seed}" / "history.csv" for seed in (0, 1)]
        until(lambda: all(file.exists() for file in histories))
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        output, _ = process.communicate(timeout=WAIT)
    retried = re.findall(r"(\S+) died \(", output)
    epochs = [len(pd.read_csv(file)) for file in histories]
    print(
        f"a seed's node killed: status {process.returncode}, epochs {epochs} of 6 each, tried "
        f"again: {', '.join(retried)}",
        flush=True,
    )


def time_overhead(project: ProjectPaths) -> None:
    """Time eight tiny trials on Ray compared with a plain loop."""
    tiny = ("--trials", "8", "--epochs", "1", "--limit", "60")
    started = time.perf_counter()
    train_in_turn(project, "loop", student_grid(1), 8, RunOptions(limit=60, search="loop"))
    loop = time.perf_counter() - started
    with cluster_of(1) as cluster:
        started = time.perf_counter()
        search(project, cluster.address, *tiny, "--name", "tiny").communicate(timeout=WAIT)
        on_ray = time.perf_counter() - started
    print(
        f"8 trials of 60 images: {loop:.1f} s in a loop, {on_ray:.1f} s by Ray on one core, "
        f"start-up included: {(on_ray - loop) / 8:.2f} s more for each",
        flush=True,
    )


def time_scaling(project: ProjectPaths) -> None:
    """Time the same trials on one and on two workers of a core each."""
    work = ("--trials", "8", "--epochs", "2", "--limit", "2000")
    seconds = {}
    for cores in (1, 2):
        with cluster_of(cores) as cluster:
            started = time.perf_counter()
            name = f"cores{cores}"
            search(project, cluster.address, *work, "--name", name).communicate(timeout=WAIT)
            seconds[cores] = time.perf_counter() - started
    started = time.perf_counter()
    train_in_turn(project, "both", student_grid(2), 8, RunOptions(limit=2000, search="both"))
    alone = time.perf_counter() - started
    print(
        f"8 trials: {seconds[1]:.0f} s on one worker of one core, {seconds[2]:.0f} s on two: "
        f"{seconds[1] / seconds[2]:.2f} times as fast; in turn on both cores {alone:.0f} s",
        flush=True,
    )


PARTS = {
    "node": kill_a_node,
    "driver": kill_the_driver,
    "seeds": kill_a_seeds_node,
    "overhead": time_overhead,
    "scaling": time_scaling,
}

if __name__ == "__main__":
    main()
