"""Compare the student project's random draw with TPE and ASHA at the same number of epochs.

    python benchmarks/search_methods.py --data-dir data --runs-dir runs

For each seed, both searches use the same training images. TPE's trials count up to the number of
epochs of the draw. The winners are evaluated on 10,000 training images that neither search used.
The script resumes if it is interrupted. It needs the competition's data and the extra `search`.
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

JUDGES = 10_000  # images
DRAWN = ("--sampler", "grid-draw", "--trials", "5")
EPOCHS = 70  # of the five
# At ASHA's rungs, after 2 and 8 epochs, one of four goes on; the first few all do.
CHOSEN = ("--sampler", "tpe", "--trials", "16", "--epochs", "20")


def main() -> None:
    """Run the searches, evaluate the winners and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--limit", type=int, default=5000, help="images of each search")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not (arguments.data_dir / "train").exists():
        sys.exit(f"{arguments.data_dir}/train is missing: this benchmark needs the real data.")
    project = ProjectPaths(arguments.data_dir, arguments.runs_dir)
    found: dict[str, list[float]] = {"draw": [], "tpe": []}
    for seed in range(arguments.seeds):
        for method, options in (("draw", DRAWN), ("tpe", CHOSEN)):
            name = f"{method}-{arguments.limit}-seed{seed}"
            search(project, *options, "--limit", arguments.limit, "--seed", seed, "--name", name)
            results = pd.read_csv(project.runs / name / "results.csv")
            results = results[results["trained_epochs"].cumsum() <= EPOCHS]
            best = results.sort_values("validation_accuracy").iloc[-1]
            accuracy = judge(project, Run(project.runs / best["run"]), arguments.limit)
            found[method].append(accuracy)
            print(
                f"{name}: {len(results)} trials of {results['trained_epochs'].sum()} epochs; "
                f"the best {best['run']} {best['validation_accuracy']:.4f} on its validation "
                f"images, {accuracy:.4f} on others",
                flush=True,
            )
    for method, accuracies in found.items():
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(f"{method}: mean {statistics.mean(accuracies):.4f}, spread {spread:.4f}")


def search(project: ProjectPaths, *options: object) -> None:
    """Run a search by its command."""
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data)]
    command += ["--runs-dir", str(project.runs), "search", *map(str, options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def judge(project: ProjectPaths, run: Run, limit: int) -> float:
    """Return a run's accuracy on training images that its search did not use."""
    start_tensorflow()
    seen = load_training_set(project, limit).ids
    data = load_training_set(project, None)
    others = np.flatnonzero(~np.isin(data.ids, seen))
    judges = data.take(others[np.linspace(0, len(others) - 1, JUDGES).astype(int)])
    outputs = run.load_model().predict(judges.pixels, batch_size=500, verbose=0)
    return float(np.mean(outputs.argmax(axis=1) == judges.labels))


if __name__ == "__main__":
    main()
