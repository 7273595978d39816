"""Compare the student project's draw with TPE and ASHA at equal epochs.

    python benchmarks/search_methods.py --data-dir data --runs-dir runs

For each seed, both searches use the same subset of the training images. TPE's first trials count,
up to the number of epochs of the draw. The best trial of each search is evaluated on training
images outside the subset. An interrupted benchmark resumes. It needs the real data and the extra
`search`.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from kaggle_cifar.data.dataset import load_training_set
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.run import Run

EVALUATED = 10_000  # images
DRAWN = ("--sampler", "grid-draw", "--trials", "5")
EPOCHS = 70  # of these five trials
# ASHA continues one of four trials after 2 and 8 epochs, but all of the first few.
CHOSEN = ("--sampler", "tpe", "--trials", "16", "--epochs", "20")


def main() -> None:
    """Run both searches for each seed and print their accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--limit", type=int, default=5000, help="number of images of each search")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not (arguments.data_dir / "train").exists():
        sys.exit(f"{arguments.data_dir}/train is missing. Run `kaggle-cifar download`.")
    project = ProjectPaths(arguments.data_dir, arguments.runs_dir)
    found: dict[str, list[float]] = {"draw": [], "tpe": []}
    for seed in range(arguments.seeds):
        for method, options in (("draw", DRAWN), ("tpe", CHOSEN)):
            name = f"{method}-{arguments.limit}-seed{seed}"
            search(project, *options, "--limit", arguments.limit, "--seed", seed, "--name", name)
            results = pd.read_csv(project.runs / name / "results.csv")
            results = results[results["trained_epochs"].cumsum() <= EPOCHS]
            best = results.sort_values("validation_accuracy").iloc[-1]
            accuracy = evaluate(project, Run(project.runs / best["run"]), arguments.limit)
            found[method].append(accuracy)
            print(
                f"{name}: {len(results)} trials, {results['trained_epochs'].sum()} epochs; "
                f"best trial {best['run']}: {best['validation_accuracy']:.4f} on its validation "
                f"images, {accuracy:.4f} on unseen ones",
                flush=True,
            )
    for method, accuracies in found.items():
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(f"{method}: mean {statistics.mean(accuracies):.4f}, spread {spread:.4f}")


def search(project: ProjectPaths, *options: object) -> None:
    """Run a search from the command line."""
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), "search", *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def evaluate(project: ProjectPaths, run: Run, limit: int) -> float:
    """Return a run's accuracy on training images outside its search."""
    start_tensorflow()
    seen = load_training_set(project, limit).ids
    data = load_training_set(project, None)
    others = np.flatnonzero(~np.isin(data.ids, seen))
    chosen = data.take(others[np.linspace(0, len(others) - 1, EVALUATED).astype(int)])
    outputs = run.load_model().predict(chosen.pixels, batch_size=500, verbose=0)
    return float(np.mean(outputs.argmax(axis=1) == chosen.labels))


if __name__ == "__main__":
    main()
