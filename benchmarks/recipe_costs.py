"""Print the accuracy and the cost of each recipe from its finished runs.

    python benchmarks/recipe_costs.py --data-dir data --runs-dir runs --picture recipes.png \
        model3 airbench84-seed0 airbench84-seed1 airbench94-seed0

The accuracies are those of the runs. The times are computed from the steps of the runs and the
median speeds measured here, because the seconds of a run include other work on the machine. One row
is Model 3 trained by Keras' `fit` on float arrays, as in the student project. That row takes its
accuracies from the run of `model3` and its speed from a measurement.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
from training_speed import plain_keras, seconds_of_batches

from kaggle_cifar import figures, models
from kaggle_cifar.console import duration, table
from kaggle_cifar.data.dataset import TrainingSet, load_training_set
from kaggle_cifar.devices.gpus import training_strategy
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.tensorflow_setup import dtype_policy, start_tensorflow
from kaggle_cifar.training import evaluator
from kaggle_cifar.training.find_runs import find_run
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.time_budget import time_evaluation, time_steps

STUDENT = "Model 3 by Keras' fit"
TARGET = 0.8462  # accuracy of the student project
SECONDS_PER_ROUND = 4.0  # for the steps of each recipe
MEASURED_BATCHES = 8
TICKS = {
    10: "10 s",
    30: "30 s",
    60: "1 min",
    180: "3 min",
    600: "10 min",
    1800: "30 min",
    3600: "1 h",
    10800: "3 h",
}

Speeds = tuple[float, float]  # images/s of training and of evaluation
Curve = list[tuple[float, float]]  # seconds and accuracy after each epoch


def main() -> None:
    """Measure the speeds, print the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data-dir", type=Path, default="data")
    parser.add_argument("--runs-dir", type=Path, default="runs")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements per recipe")
    parser.add_argument("--picture", type=Path, help="PNG of accuracy over training time")
    arguments = parser.parse_args()
    project = ProjectPaths(arguments.data_dir, arguments.runs_dir)
    try:
        groups = group_by_recipe([find_run(project, name) for name in arguments.runs])
        largest = max(runs[0].read_recipe()[0].batch_size for runs in groups.values())
        data = load_training_set(project, limit=MEASURED_BATCHES * largest)
    except UserError as error:
        sys.exit(f"This benchmark needs the real training images and finished runs: {error}")
    timers = {}
    for name, runs in groups.items():
        recipe, _ = runs[0].read_recipe()
        if name == "model3":
            timers[STUDENT] = fit_timer(recipe, data)
        timers[name] = training_timer(recipe, data)
    speeds = measure(timers, arguments.rounds)
    rows, curves = [], {}
    for name in timers:
        runs = groups["model3" if name == STUDENT else name]
        curves[name] = [accuracy_curve(run, *speeds[name]) for run in runs]
        rows.append(table_row(name, runs, curves[name]))
    header = ("recipe", "seeds", "validation accuracy", "with TTA", "time", "PFLOP")
    print(table((*header, f"time to {TARGET:.2%}"), rows))
    if arguments.picture:
        draw(curves, arguments.picture)


def group_by_recipe(runs: list[Run]) -> dict[str, list[Run]]:
    """Return the runs by the name of their recipe."""
    groups = defaultdict(list)
    for run in runs:
        run.require_finished()
        groups[run.read_recipe()[0].name].append(run)
    return dict(groups)


def training_timer(recipe: Recipe, data: TrainingSet) -> Callable[[], Speeds]:
    """Return a function that measures the speeds of a recipe."""
    start_tensorflow()
    strategy, policy = training_strategy(recipe.batch_size), dtype_policy(recipe.precision)
    options = RunOptions(validation="none")
    training = Training(Run(Path("nowhere")), recipe, options, data, strategy, policy)

    def measure_once() -> Speeds:
        step = time_steps(training, SECONDS_PER_ROUND)
        return training.source.images(1) / step, 1 / time_evaluation(training)

    return measure_once


def fit_timer(recipe: Recipe, data: TrainingSet) -> Callable[[], Speeds]:
    """Return a function that measures Keras' `fit` and `evaluate`."""
    start_tensorflow()
    strategy = training_strategy(recipe.batch_size)
    options = RunOptions(validation="none")
    training = Training(Run(Path("nowhere")), recipe, options, data, strategy)
    model = plain_keras(training.state.model)
    scaled = data.pixels / np.float32(255)

    def measure_once() -> Speeds:
        works = (model.fit, recipe.batch_size), (model.evaluate, evaluator.BATCH_SIZE)
        training, evaluation = (
            len(data) / seconds_of_batches(work, scaled, data.labels, batch_size)
            for work, batch_size in works
        )
        return training, evaluation

    return measure_once


def measure(timers: dict[str, Callable[[], Speeds]], count: int) -> dict[str, Speeds]:
    """Print the speeds and return the medians."""
    rounds: dict[str, list[Speeds]] = defaultdict(list)
    for _ in range(count + 1):  # the first compiles
        for name, measure_once in timers.items():
            rounds[name].append(measure_once())
    medians = {}
    for name, speeds in rounds.items():
        training, evaluation = zip(*speeds[1:], strict=True)
        medians[name] = statistics.median(training), statistics.median(evaluation)
        print(
            f"{name}: {medians[name][0]:,.0f} images/s in training "
            f"({min(training):,.0f} to {max(training):,.0f}), {medians[name][1]:,.0f} in evaluation"
        )
    return medians


def epoch_images(run: Run) -> list[float]:
    """Return the number of training images of each epoch."""
    recipe, _ = run.read_recipe()
    images = run.read_metrics()["train_images"]
    if recipe.drop_last:
        images -= images % recipe.batch_size
    return [images * min(1, recipe.epochs - epoch) for epoch in range(len(run.read_history()))]


def accuracy_curve(run: Run, training_speed: float, evaluation_speed: float) -> Curve:
    """Return the seconds and the validation accuracy after each epoch."""
    evaluation = run.read_metrics()["validation_images"] / evaluation_speed
    seconds = accumulate(images / training_speed + evaluation for images in epoch_images(run))
    return list(zip(seconds, (row["val_accuracy"] for row in run.read_history()), strict=True))


def table_row(name: str, runs: list[Run], curves_of_seeds: list[Curve]) -> list[str]:
    """Return the cells of a recipe."""
    operations = 3 * models.flops(runs[0].load_model()) * sum(epoch_images(runs[0]))
    metrics = [run.read_metrics() for run in runs]
    reached = [
        next((s for s, accuracy in points if accuracy > TARGET), None) for points in curves_of_seeds
    ]
    past = [seconds for seconds in reached if seconds is not None]
    return [
        name,
        str(len(runs)),
        mean_and_deviation([m["validation_accuracy"] for m in metrics]),
        mean_and_deviation([m.get("validation_accuracy_tta") for m in metrics]),
        duration(statistics.mean(points[-1][0] for points in curves_of_seeds)),
        f"{operations / 1e15:.2g}",
        f"{duration(statistics.mean(past))} ({len(past)} of {len(reached)})" if past else "never",
    ]


def mean_and_deviation(values: list[float | None]) -> str:
    """Return the mean and the standard deviation as text."""
    if None in values:
        return ""
    known: list[float] = [value for value in values if value is not None]
    if len(known) == 1:
        return f"{known[0]:.4f}"
    return f"{statistics.mean(known):.4f} ± {statistics.stdev(known):.4f}"


@figures.styled
def draw(curves: dict[str, list[Curve]], path: Path) -> None:
    """Draw the mean accuracy of each recipe over training time."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, PercentFormatter

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, curves_of_seeds) in enumerate(curves.items()):
        colour = figures.COLOURS[i % len(figures.COLOURS)]
        style = figures.LINE_STYLES[i // len(figures.COLOURS)]
        seconds, accuracies = np.mean(curves_of_seeds, axis=0).T
        axes.plot(seconds, accuracies, color=colour, linestyle=style)
        axes.plot(seconds[-1], accuracies[-1], marker="o", color=colour)
        # The curves of model3 and of Keras' fit end at the same accuracy.
        place = {STUDENT: (7, -11), "model3": (-38, 12)}.get(name, (7, 1))
        axes.annotate(
            name,
            (seconds[-1], accuracies[-1]),
            xytext=place,
            textcoords="offset points",
            color=colour,
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
        )
    axes.axhline(TARGET, color=figures.INK, linewidth=0.8)
    axes.annotate(
        f"the student project: {TARGET:.2%}",
        (45, TARGET),
        va="top",
        fontsize="small",
    )
    axes.set_xscale("log")
    axes.set_xlim(min(TICKS), 1.4 * max(TICKS))
    axes.set_xticks(list(TICKS), list(TICKS.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_ylim(0.6, 0.97)
    axes.set_xlabel("training time on two CPU cores, with evaluations")
    axes.set_ylabel("validation accuracy without TTA, mean of the seeds")
    axes.grid(True)
    figures.save(figure, path)


if __name__ == "__main__":
    main()
