"""Predict the test set, and the bare forward pass over pixels in memory, side by side.

    python benchmarks/prediction.py --data-dir data --runs-dir runs model3-tuned

Prints images a second of both, the ratio of their times without start-up, and the memory that
predicting takes beyond TensorFlow's own. The run's kept predictions are not touched.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from kaggle_cifar import prediction
from kaggle_cifar.dataset import decoded_batches, image_paths
from kaggle_cifar.inference import compile_forward
from kaggle_cifar.runs import Run, find_run
from kaggle_cifar.runtime import start_tensorflow
from kaggle_cifar.storage import Layout
from kaggle_cifar.tables import submission_ids


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--runs-dir", type=Path, default="runs")
    arguments = parser.parse_args()
    layout = Layout(arguments.data_dir, arguments.runs_dir)
    run = find_run(layout, arguments.run)
    ids = submission_ids(layout)

    start_tensorflow()
    forward = compile_forward(run.load_model())
    paths = image_paths(layout, "test", ids[: prediction.BATCH_SIZE])
    batch = next(iter(decoded_batches(paths, prediction.BATCH_SIZE)))
    np.asarray(forward(batch))  # compiles
    with tempfile.TemporaryDirectory(dir=layout.runs) as scratch:
        copy = copy_result(run, Path(scratch))
        before = peak_memory()
        own = measure(lambda: prediction.test_probabilities(layout, copy, ids, "benchmark"))
        memory = peak_memory() - before
    batches = -(-len(ids) // prediction.BATCH_SIZE)
    bare = measure(lambda: [np.asarray(forward(batch)) for _ in range(batches)])
    print(f"bare forward pass {bare:8.1f} s {len(ids) / bare:8,.0f} images/s")
    print(f"predict           {own:8.1f} s {len(ids) / own:8,.0f} images/s")
    print(f"ratio of the times: {own / bare:.2f}; memory beyond TensorFlow's own: {memory:.0f} MiB")


def copy_result(run: Run, folder: Path) -> Run:
    """Copy what predicting needs of a run, without its predictions."""
    for file in (run.recipe_file, run.weights_file, run.metrics_file):
        shutil.copy(file, folder)
    return Run(folder)


def measure(work) -> float:
    """Return the wall-clock seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_memory() -> float:
    """Return the highest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
