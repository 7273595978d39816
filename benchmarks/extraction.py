"""Extract an archive with this program and with `7z x`, side by side, in one run.

    python benchmarks/extraction.py data/raw/test.7z

Prints seconds, peak resident memory and the ratio of the times. On a busy machine the seconds of
all cores tell more than those of the clock. Needs the `7z` command (Debian
package p7zip-full) and room for the images twice, beside the archive; both are removed again.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="train.7z or test.7z, with the CSV files beside")
    parser.add_argument("--runs", type=int, default=2, help="of each, in turns")
    parser.add_argument("--scratch", type=Path, help="default: beside the archive")
    arguments = parser.parse_args()
    archive = arguments.archive.resolve()
    if not archive.exists():
        sys.exit(f"{archive} is missing: this benchmark needs the real data (make download).")
    if not shutil.which("7z"):
        sys.exit("The 7z command is missing: apt-get install p7zip-full")
    # Nothing is deleted before all is measured: ext4 takes minutes before it gives the inodes of
    # deleted files away again, and searches past each of them for every new file.
    with tempfile.TemporaryDirectory(dir=arguments.scratch or archive.parent) as scratch:
        totals = {"7z x": (0.0, 0.0), "kaggle-cifar extract": (0.0, 0.0)}
        for number in range(arguments.runs):
            folder = Path(scratch) / str(number)
            ways = {
                "7z x": ["7z", "x", "-bd", "-y", f"-o{folder}/7z", str(archive)],
                "kaggle-cifar extract": [
                    *(sys.executable, "-c"),
                    own_extraction(archive, folder / "own"),
                ],
            }
            # Who comes second finds a fuller disk: they take turns.
            for name in sorted(ways, reverse=number % 2 == 1):
                measured = measure(ways[name])
                report(name, measured)
                totals[name] = (totals[name][0] + measured[0], totals[name][1] + measured[1])
        (clock, cores), (own_clock, own_cores) = totals.values()
        print(f"ratio of the times: {own_clock / clock:.2f}; of the cores' {own_cores / cores:.2f}")


def own_extraction(archive: Path, data: Path) -> str:
    """Return the Python code that extracts one archive as the command does."""
    raw = data / "raw"
    raw.mkdir(parents=True)
    for name in (archive.name, "trainLabels.csv", "sampleSubmission.csv"):
        (raw / name).symlink_to(archive.parent / name)
    return (
        "from pathlib import Path; from kaggle_cifar.data.extract import extract_split;"
        "from kaggle_cifar.files import ProjectPaths;"
        f"data = Path({str(data)!r});"
        f"extract_split(ProjectPaths(data), data / 'raw' / {archive.name!r}, {archive.stem!r})"
    )


def measure(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of all its cores, and its peak memory in MiB."""
    os.sync()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed with status {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def report(name: str, measured: tuple[float, float, float]) -> None:
    """Print a row."""
    seconds, of_cores, memory = measured
    print(f"{name:22} {seconds:6.1f} s {of_cores:6.1f} s of cores {memory:6.0f} MiB resident")


if __name__ == "__main__":
    main()
