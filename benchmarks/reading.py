"""Compare reading all test images with zlib's inflate of the same bytes.

    python benchmarks/reading.py --data-dir data

The images are read twice in id order: the first reading decodes the files and writes a cache, the
second one reads the cache. The benchmark prints seconds, CPU seconds and ratios. It does not change
`data/cache`. Its own cache takes up to 1 GB and is deleted at the end.
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
CHUNK = 12  # bytes of a PNG chunk without its content: length, kind and checksum


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument(
        "--scratch", type=Path, help="folder for temporary files (default: the data folder)"
    )
    arguments = parser.parse_args()
    data = arguments.data_dir.resolve()
    if not ProjectPaths(data).manifest("test").exists():
        sys.exit(f"{data} has no extracted test images. Run `kaggle-cifar extract`.")
    with tempfile.TemporaryDirectory(dir=arguments.scratch or data) as scratch:
        project = link_project(data, Path(scratch))
        ids = submission_ids(project)
        start_tensorflow()
        decode_files(image_paths(project, "test", ids[:1]), np.array([UNKNOWN]))
        inflate = measure_inflate(image_paths(project, "test", ids))
        first, again = (measure(lambda: read_all(project, ids)) for _ in range(2))
    rows = {"inflate alone": inflate, "first reading": first, "again": again}
    for name, (seconds, cpu_seconds) in rows.items():
        print(f"{name:14} {seconds:7.2f} s {cpu_seconds:7.2f} CPU s")
    for column, name in enumerate(("times", "CPU times")):
        to_inflate, to_first = first[column] / inflate[column], again[column] / first[column]
        print(
            f"ratio of the {name}: first / inflate {to_inflate:.2f}; again / first {to_first:.3f}"
        )


def link_project(data: Path, folder: Path) -> ProjectPaths:
    """Link the test images of `data` into `folder`, without a cache."""
    for name in ("raw", "test", "test.manifest.csv"):
        (folder / name).symlink_to(data / name)
    return ProjectPaths(folder)


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of a call."""
    started = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def read_all(project: ProjectPaths, ids: np.ndarray) -> None:
    """Read all images once."""
    for _ in read_images(project, "test", ids, READ_BATCH):
        pass


def measure_inflate(paths: list[str]) -> tuple[float, float]:
    """Measure inflating the images in memory on all cores."""
    contents = [compressed_content(read_file(path)) for path in paths]
    parts = [contents[core::CORES] for core in range(CORES)]
    with ThreadPoolExecutor(CORES) as pool:
        return measure(lambda: list(pool.map(inflate_all, parts)))


def inflate_all(contents: list[bytes]) -> None:
    """Inflate the contents one by one."""
    for content in contents:
        zlib.decompress(content)


def compressed_content(png: bytes) -> bytes:
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
