"""Compare the extraction of an archive by this program with `7z x`, in turns.

    python benchmarks/extraction.py data/raw/test.7z

It prints the seconds, the CPU seconds, the peak memory and the ratios of the times. On a busy
machine, compare the CPU seconds. It needs the `7z` command (Debian package 7zip), the CSV files in
the archive's folder, and room for the images twice per run. It deletes the images at the end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import NamedTuple


class Measurement(NamedTuple):
    """What one extraction took."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="train.7z or test.7z")
    parser.add_argument("--runs", type=int, default=3, help="number of extractions by each")
    parser.add_argument("--scratch", type=Path, help="folder for the images (default: next to it)")
    arguments = parser.parse_args()
    archive = arguments.archive.resolve()
    if not archive.exists():
        sys.exit(f"{archive} is missing. Run `make download`, which needs a Kaggle account.")
    if not shutil.which("7z"):
        sys.exit("The 7z command is missing. Run `apt-get install 7zip`.")
    with tempfile.TemporaryDirectory(dir=arguments.scratch or archive.parent) as scratch:
        theirs, ours = run_in_turns(archive, Path(scratch), arguments.runs)
    seconds = mean(run.seconds for run in ours) / mean(run.seconds for run in theirs)
    cpu = mean(run.cpu_seconds for run in ours) / mean(run.cpu_seconds for run in theirs)
    print(f"ratio of the means of {arguments.runs} runs: {seconds:.2f}, of CPU seconds {cpu:.2f}")


def run_in_turns(
    archive: Path, scratch: Path, runs: int
) -> tuple[list[Measurement], list[Measurement]]:
    """Measure `7z x` and this program `runs` times each.

    Nothing is deleted in between. ext4 reuses the inode of a deleted file only after minutes, and
    searches past it for every new file.
    """
    commands: dict[str, Callable[[Path, Path], list[str]]] = {
        "7z x": sevenzip_command,
        "kaggle-cifar extract": own_command,
    }
    measured: dict[str, list[Measurement]] = {name: [] for name in commands}
    for run in range(runs):
        # The second of the two finds a fuller disk, so they change places.
        for name in sorted(commands, reverse=run % 2 == 1):
            folder = scratch / f"{run} {name}"
            result = measure(commands[name](archive, folder))
            print(
                f"{name:22} {result.seconds:6.1f} s {result.cpu_seconds:6.1f} CPU s "
                f"{result.peak_mib:6.0f} MiB"
            )
            measured[name].append(result)
    return measured["7z x"], measured["kaggle-cifar extract"]


def sevenzip_command(archive: Path, folder: Path) -> list[str]:
    """Return the command that extracts an archive with 7-Zip."""
    return ["7z", "x", "-bd", "-y", f"-o{folder}", str(archive)]


def own_command(archive: Path, data: Path) -> list[str]:
    """Return the command that extracts only this archive as `kaggle-cifar extract` does."""
    raw = data / "raw"
    raw.mkdir(parents=True)
    for name in (archive.name, "trainLabels.csv", "sampleSubmission.csv"):
        (raw / name).symlink_to(archive.parent / name)
    code = (
        "from pathlib import Path; from kaggle_cifar.data.extract import extract_split;"
        "from kaggle_cifar.files import ProjectPaths;"
        f"data = Path({str(data)!r});"
        f"extract_split(ProjectPaths(data), data / 'raw' / {archive.name!r}, {archive.stem!r})"
    )
    return [sys.executable, "-c", code]


def measure(command: list[str]) -> Measurement:
    """Run a command and measure it."""
    os.sync()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed with status {os.waitstatus_to_exitcode(status)}.")
    seconds = time.perf_counter() - started
    return Measurement(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
