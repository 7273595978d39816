"""Kill a training at random moments, resume it and compare the result.

    python benchmarks/training_kills.py --kills 50

It trains `model3-tuned` on the drawn sample, so it needs no data. It prints the epochs in which the
training was killed, and whether weights, history and probabilities equal those of an undisturbed
run. It exits with status 1 if they differ.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kaggle_cifar.training.run import Run

LONGEST_LIFE = 14.0  # seconds from the start of a process to its kill


def main() -> None:
    """Kill and resume a training, then compare it with an undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        start_command(project, "sample", "data/raw").wait()
        start_command(project, "extract").wait()
        killed_in: list[int] = []
        while len(killed_in) < arguments.kills:
            process = start_training(project, "killed", arguments.epochs)
            time.sleep(moments.uniform(0, LONGEST_LIFE))
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            killed_in.append(len(Run(project / "runs" / "killed").read_history()))
        for name in ("killed", "undisturbed"):
            if start_training(project, name, arguments.epochs).wait():
                sys.exit(f"The training {name} failed.")
        print(f"killed {len(killed_in)} times; complete epochs at each kill: {killed_in}")
        same = compare(*(Run(project / "runs" / name) for name in ("killed", "undisturbed")))
    sys.exit(not same)


def start_training(project: Path, name: str, epochs: int) -> subprocess.Popen[bytes]:
    """Start or resume the training."""
    no_early_stop = f"early_stopping.patience={epochs}"
    return start_command(
        project, "train", "--epochs", str(epochs), "--set", no_early_stop, "--name", name
    )


def start_command(project: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a command of this program in a project folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "kaggle_cifar", *arguments],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def compare(killed: Run, undisturbed: Run) -> bool:
    """Print and return whether two runs have equal results, except for seconds."""
    checks = {
        "weights": lambda run: [weight.tobytes() for weight in run.load_model().get_weights()],
        "history": lambda run: [{**row, "seconds": None} for row in run.read_history()],
        "probabilities": lambda run: (run.folder / "validation_probabilities.npy").read_bytes(),
    }
    same = {name: read(killed) == read(undisturbed) for name, read in checks.items()}
    print(", ".join(f"{name} {'the same' if ok else 'DIFFER'}" for name, ok in same.items()))
    return all(same.values())


if __name__ == "__main__":
    main()
