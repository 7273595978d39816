"""Compare the first and second reading of all test images with zlib's inflate alone.

    python benchmarks/reading.py --data-dir data

The script prints wall time, CPU time and ratios of readings in id order. TensorFlow is started
before, and the files are in the system's file cache. The script leaves `data/cache` alone. Its own
cache takes 1 GB next to it and is removed at the end.
"""

import argparse
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kaggle_cifar.data.dataset import READ_BATCH
from kaggle_cifar.data.decoding import UNKNOWN, decode_files, read_file
from kaggle_cifar.data.images import image_paths, read_images
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.tensorflow_setup import start_tensorflow

CORES = os.cpu_count() or 1
PNG_OVERHEAD = 8  # bytes before the first chunk
CHUNK = 12  # bytes of a PNG chunk beside its content: length, kind and checksum


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--scratch", type=Path, help="default: the data folder")
    arguments = parser.parse_args()
    data = arguments.data_dir.resolve()
    if not ProjectPaths(data).manifest("test").exists():
        sys.exit(f"{data} holds no extracted test images: this benchmark needs them.")
    with tempfile.TemporaryDirectory(dir=arguments.scratch or data) as scratch:
        project = linked(data, Path(scratch))
        ids = submission_ids(project)
        start_tensorflow()
        decode_files(image_paths(project, "test", ids[:1]), np.array([UNKNOWN]))
        inflate = measure_inflate(image_paths(project, "test", ids))
        first, again = (measure(lambda: read_all(project, ids)) for _ in range(2))
    rows = {"inflate alone": inflate, "first reading": first, "again": again}
    for name, (seconds, of_cores) in rows.items():
        print(f"{name:14} {seconds:7.2f} s {of_cores:7.2f} s of cores")
    for clock, name in enumerate(("times", "cores' times")):
        to_inflate, to_first = first[clock] / inflate[clock], again[clock] / first[clock]
        print(
            f"ratio of the {name}: first / inflate {to_inflate:.2f}; again / first {to_first:.3f}"
        )


def linked(data: Path, folder: Path) -> ProjectPaths:
    """Return a project in `folder` with links to the images and no cache."""
    for name in ("raw", "test", "test.manifest.csv"):
        (folder / name).symlink_to(data / name)
    return ProjectPaths(folder)


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the CPU time of a call in seconds."""
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def read_all(project: ProjectPaths, ids: np.ndarray) -> None:
    """Read all images once."""
    for _ in read_images(project, "test", ids, READ_BATCH):
        pass


def measure_inflate(paths: list[str]) -> tuple[float, float]:
    """Return the times of inflating the images, from memory, on all cores."""
    contents = [compressed(read_file(path)) for path in paths]
    parts = [contents[core::CORES] for core in range(CORES)]
    with ThreadPoolExecutor(CORES) as pool:
        return measure(lambda: list(pool.map(inflate_all, parts)))


def inflate_all(contents: list[bytes]) -> None:
    """Inflate the images one by one."""
    for content in contents:
        zlib.decompress(content)


def compressed(png: bytes) -> bytes:
    """Return the compressed content of a PNG."""
    content, position = b"", PNG_OVERHEAD
    while position < len(png):
        length = int.from_bytes(png[position : position + 4])
        if png[position + 4 : position + 8] == b"IDAT":
            content += png[position + 8 : position + 8 + length]
        position += length + CHUNK
    return content


if __name__ == "__main__":
    main()
