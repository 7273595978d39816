"""Compare the prediction of the test set with the bare forward pass.

    python benchmarks/prediction.py --data-dir data --runs-dir runs model3-tuned

The first prediction decodes the files, and the second reads the cache that the first one wrote. The
bare forward pass repeats a batch in memory. The benchmark prints their times without start-up, the
ratios and the memory that predicting adds to TensorFlow's own. It does not change the run or
`data/cache`.

With `--tta`, it compares adaptive TTA with full TTA instead. The default is
3,000 images, because the result is a ratio. `--count 300000` takes them all.
"""

import argparse
import resource
import shutil
import tempfile
from pathlib import Path

import numpy as np
from reading import measure

from kaggle_cifar.data.images import read_images
from kaggle_cifar.data.labels import submission_ids
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import compile_forward
from kaggle_cifar.prediction import predict as prediction
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.find_runs import find_run
from kaggle_cifar.training.run import Run

TTA_COUNT = 3000  # images


def main() -> None:
    """Run the benchmark and print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--runs-dir", type=Path, default="runs")
    parser.add_argument("--tta", action="store_true", help="compare adaptive TTA with all views")
    parser.add_argument("--count", type=int, help="number of images (default: all)")
    parser.add_argument(
        "--scratch", type=Path, help="folder for temporary files (default: the data folder)"
    )
    arguments = parser.parse_args()
    run = find_run(ProjectPaths(arguments.data_dir, arguments.runs_dir), arguments.run)
    with tempfile.TemporaryDirectory(dir=arguments.scratch or arguments.data_dir) as scratch:
        project = link_project(arguments.data_dir.resolve(), Path(scratch), arguments.count)
        ids = submission_ids(project)[: arguments.count]
        start_tensorflow()
        if arguments.tta:
            compare_tta(project, run, ids[: arguments.count or TTA_COUNT])
            return
        forward = compile_forward(run.load_model())
        batch = next(read_images(project, "test", ids[: prediction.BATCH_SIZE], len(ids)))
        np.asarray(forward(batch))  # compiles
        batches = -(-len(ids) // prediction.BATCH_SIZE)
        bare = measure(lambda: [np.asarray(forward(batch)) for _ in range(batches)])
        before = peak_memory()

        def predict(name: str) -> None:
            copy = copy_result(run, project.runs / name)
            prediction.test_probabilities(project, copy, ids, "benchmark", "plain")

        first = measure(lambda: predict("first"))
        second = measure(lambda: predict("second"))
        memory = peak_memory() - before
    rows = {"bare forward pass": bare, "first": first, "second": second}
    for name, (seconds, cpu_seconds) in rows.items():
        print(f"{name:17} {seconds:7.1f} s {cpu_seconds:7.1f} CPU s {len(ids) / seconds:7,.0f}/s")
    for column, name in enumerate(("times", "CPU times")):
        ratios = [row[column] / bare[column] for row in (first, second)]
        print(f"ratio of the {name}: first {ratios[0]:.2f}, second {ratios[1]:.2f}")
    print(f"memory beyond TensorFlow's own: {memory:.0f} MiB")


def compare_tta(project: ProjectPaths, run: Run, ids: np.ndarray) -> None:
    """Print the time of adaptive TTA, that of all views in one pass, and how many classes agree.

    All images are in the cache before, and adaptive TTA includes its start-up.
    """
    pixels = np.concatenate(list(read_images(project, "test", ids, prediction.BATCH_SIZE)))
    forward = compile_forward(run.load_model(), "tta")
    starts = range(0, len(ids), prediction.BATCH_SIZE)
    batches = [pixels[start : start + prediction.BATCH_SIZE] for start in starts]
    np.asarray(forward(batches[0]))  # compiles
    full: list[np.ndarray] = []
    bare = measure(lambda: full.extend(np.asarray(forward(batch)) for batch in batches))
    adaptive: list[np.ndarray] = []

    def predict() -> None:
        copy = copy_result(run, project.runs / run.name)
        for file in run.folder.glob("validation_probabilities*.npy"):
            shutil.copy(file, copy.folder)
        adaptive.append(prediction.test_probabilities(project, copy, ids, "benchmark", "tta"))

    ours = measure(predict)
    agreeing = np.mean(np.concatenate(full).argmax(axis=1) == adaptive[0].argmax(axis=1))
    for name, (seconds, cpu_seconds) in {"all views": bare, "adaptive TTA": ours}.items():
        print(f"{name:17} {seconds:7.1f} s {cpu_seconds:7.1f} CPU s {len(ids) / seconds:7,.0f}/s")
    print(f"ratio of the times: {ours[0] / bare[0]:.2f}, of the CPU times {ours[1] / bare[1]:.2f}")
    print(f"classes that agree: {agreeing:.2%} of {len(ids):,} images")


def link_project(data: Path, folder: Path, count: int | None) -> ProjectPaths:
    """Link the first `count` test images into `folder`, without a cache."""
    for name in ("raw", "test"):
        (folder / name).symlink_to(data / name)
    project = ProjectPaths(folder, folder / "runs")
    rows = ProjectPaths(data).manifest("test").read_text().splitlines(keepends=True)
    project.manifest("test").write_text("".join(rows[: count and count + 1]))
    return project


def copy_result(run: Run, folder: Path) -> Run:
    """Copy the files of a run that a prediction needs."""
    folder.mkdir(parents=True)
    for file in (run.description_file, run.weights_file, run.metrics_file):
        shutil.copy(file, folder)
    return Run(folder)


def peak_memory() -> float:
    """Return the highest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
