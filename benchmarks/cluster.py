"""Kill and time a search on two nodes that are simulated on this machine.

    python benchmarks/cluster.py

It draws a small competition, so it needs no data and no network. It needs Ray and Optuna (the
extra `search`). A search of twelve trials must end with twelve results if its second node is
killed. If its driver is killed, the search must resume without training finished trials again.
Then the benchmark compares Ray with a plain loop, and two workers with one.
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
WAIT = 600.0  # seconds, for each condition and command


def main() -> None:
    """Run the benchmark and print its results."""
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
def start_cluster(*cores: int) -> Iterator[Any]:
    """Start a cluster with a node for each number of cores."""
    from ray.cluster_utils import Cluster  # after require_ray set its environment

    cluster = Cluster()
    try:
        for number in cores:
            cluster.add_node(num_cpus=number, include_dashboard=False)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def start_search(project: ProjectPaths, address: str, *options: str) -> subprocess.Popen[str]:
    """Start a search from the command line."""
    return start_command(project, "search", "--address", address, *options)


def start_command(project: ProjectPaths, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of this program."""
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The condition did not hold within {WAIT:.0f} s.")
        time.sleep(0.2)


def finished_runs(project: ProjectPaths, name: str) -> list[Run]:
    """Return the search's runs that have a result."""
    runs = (Run(project.runs / f"{name}-trial{n}") for n in range(1, TRIALS + 1))
    return [run for run in runs if run.finished]


def training_runs(project: ProjectPaths, name: str) -> list[Run]:
    """Return the search's runs that are in training."""
    journal = project.runs / name / "trials.json"
    trials = read_json(journal) if journal.exists() else {}
    runs = (Run(project.runs / trial) for trial, state in trials.items() if not state["ended"])
    return [run for run in runs if run.description_file.exists()]


def kill_node(project: ProjectPaths) -> None:
    """Kill a node that trains after some trials have finished."""
    with start_cluster(1, 1) as cluster:
        process = start_search(project, cluster.address, *SHORT, "--name", "node")
        wait_for(
            lambda: (
                len(finished_runs(project, "node")) >= 3
                and len(training_runs(project, "node")) == 2
            )
        )
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        output, _ = process.communicate(timeout=WAIT)
    results = pd.read_csv(project.runs / "node" / "results.csv")
    retried = re.findall(r"(\S+) died \(", output)
    print(
        f"node killed: status {process.returncode}, {len(results)} results of {TRIALS} trials; "
        f"retried: {', '.join(retried)}",
        flush=True,
    )


def kill_driver(project: ProjectPaths) -> None:
    """Kill the driver of a search and resume the search."""
    with start_cluster(1, 1) as cluster:
        process = start_search(project, cluster.address, *SHORT, "--name", "driver")
        wait_for(lambda: len(finished_runs(project, "driver")) >= 4)
        process.kill()
        process.wait()
        time.sleep(2)
        before = {
            run.name: run.metrics_file.stat().st_mtime_ns
            for run in finished_runs(project, "driver")
        }
        process = start_search(project, cluster.address, *SHORT, "--name", "driver")
        process.communicate(timeout=WAIT)
    after = {
        run.name: run.metrics_file.stat().st_mtime_ns for run in finished_runs(project, "driver")
    }
    again = [name for name in before if after[name] != before[name]]
    print(
        f"driver killed after {len(before)} of {TRIALS} trials: status {process.returncode}, "
        f"{len(after)} results at the end; finished trials trained again: {again or 'none'}",
        flush=True,
    )


def kill_node_of_seed(project: ProjectPaths) -> None:
    """Kill a node that trains one of two seeds."""
    with start_cluster(1, 1) as cluster:
        options = ("--seeds", "2", "--epochs", "6", "--limit", "1000", "--name", "seeds")
        process = start_command(project, "train", "model1", *options, "--address", cluster.address)
        histories = [project.runs / f"seeds-seed{seed}" / "history.csv" for seed in (0, 1)]
        wait_for(lambda: all(file.exists() for file in histories))
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        output, _ = process.communicate(timeout=WAIT)
    retried = re.findall(r"(\S+) died \(", output)
    epochs = [len(pd.read_csv(file)) for file in histories]
    print(
        f"node of a seed killed: status {process.returncode}, {epochs} of 6 epochs each; "
        f"retried: {', '.join(retried)}",
        flush=True,
    )


def time_overhead(project: ProjectPaths) -> None:
    """Compare eight tiny trials on Ray with the same trials in a loop."""
    tiny = ("--trials", "8", "--epochs", "1", "--limit", "60")
    started = time.perf_counter()
    train_in_turn(project, "loop", student_grid(1), 8, RunOptions(limit=60, search="loop"))
    loop = time.perf_counter() - started
    with start_cluster(1) as cluster:
        started = time.perf_counter()
        start_search(project, cluster.address, *tiny, "--name", "tiny").communicate(timeout=WAIT)
        on_ray = time.perf_counter() - started
    print(
        f"8 trials of 60 images: {loop:.1f} s in a loop, {on_ray:.1f} s by Ray on one core "
        f"with its start-up: {(on_ray - loop) / 8:.2f} s more per trial",
        flush=True,
    )


def time_scaling(project: ProjectPaths) -> None:
    """Compare the same trials on one and on two workers of one core."""
    work = ("--trials", "8", "--epochs", "2", "--limit", "2000")
    seconds = {}
    for cores in (1, 2):
        with start_cluster(cores) as cluster:
            started = time.perf_counter()
            name = f"cores{cores}"
            start_search(project, cluster.address, *work, "--name", name).communicate(timeout=WAIT)
            seconds[cores] = time.perf_counter() - started
    started = time.perf_counter()
    train_in_turn(project, "both", student_grid(2), 8, RunOptions(limit=2000, search="both"))
    alone = time.perf_counter() - started
    print(
        f"8 trials: {seconds[1]:.0f} s on one worker of one core, {seconds[2]:.0f} s on two: "
        f"{seconds[1] / seconds[2]:.2f} times as fast; {alone:.0f} s one by one on both cores",
        flush=True,
    )


PARTS = {
    "node": kill_node,
    "driver": kill_driver,
    "seeds": kill_node_of_seed,
    "overhead": time_overhead,
    "scaling": time_scaling,
}

if __name__ == "__main__":
    main()
