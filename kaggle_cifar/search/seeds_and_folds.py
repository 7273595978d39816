"""Several runs of one recipe: seeds measure the spread, folds validate on all images."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kaggle_cifar.console import LiveTable, say
from kaggle_cifar.data.dataset import check_split
from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.data.validation_split import Fold
from kaggle_cifar.evaluation.intervals import half_interval
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities, write_probabilities
from kaggle_cifar.prediction.ensemble import EnsembleMember, validation_probabilities
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.search.cluster import Cluster
from kaggle_cifar.search.tasks import run_tasks
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_table import mean_and_spread, progress_table
from kaggle_cifar.training.train import train


def seed_names(name: str, count: int) -> list[str]:
    """Return the names of the runs of `train_seeds`."""
    return [f"{name}-seed{seed}" for seed in range(count)]


def fold_names(name: str, count: int) -> list[str]:
    """Return the names of the runs of `train_folds`."""
    return [f"{name}-{Fold(number, count)}" for number in range(1, count + 1)]


def train_seeds(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    count: int,
    tensorboard: bool = False,
    cluster: Cluster | None = None,
) -> list[Run]:
    """Train the runs `name`-seed0, -seed1, … and print the mean and spread of their accuracy.

    Interrupted runs resume. Raises as `training.train`.
    """
    jobs = {
        run: dataclasses.replace(options, seed=seed)
        for seed, run in enumerate(seed_names(name, count))
    }
    runs = train_all(project, recipe, jobs, tensorboard, cluster)
    if count > 1 and options.validation != "none":
        accuracies = [run.read_validation_accuracy() for run in runs]
        say(f"{name}, {count} seeds: {mean_and_spread(accuracies)}.")
    return runs


def train_folds(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    count: int,
    tensorboard: bool = False,
    cluster: Cluster | None = None,
) -> list[Run]:
    """Train `count` runs, each validated on another fold, and save their predictions.

    `runs/<name>-<count>folds.npy` gets the out-of-fold probabilities: for each training image,
    those of the run that was not trained on it. Interrupted runs resume. Raises as
    `training.train`.
    """
    folds = [str(Fold(number, count)) for number in range(1, count + 1)]
    check_split(project, options.limit, folds[-1])  # the smallest fold
    path = project.runs / f"{name}-{count}folds.npy"
    if path.exists():
        # It raises an error if it is another file, which must not be replaced.
        read_probabilities(path, "Move it away and run this again.")
    jobs = {
        run: dataclasses.replace(options, validation=fold)
        for run, fold in zip(fold_names(name, count), folds, strict=True)
    }
    runs = train_all(project, recipe, jobs, tensorboard, cluster)
    rows = validation_probabilities(EnsembleMember(name, tuple(runs)), "plain")
    write_probabilities(path, rows["id"], rows["probabilities"])
    labels = labels_of(project, rows["id"])
    accuracy = float(np.mean(rows["probabilities"].argmax(axis=1) == labels))
    half = half_interval(accuracy, len(rows))
    say(f"{path}: out-of-fold accuracy {accuracy:.4f} ± {half:.4f} (95 %) on {len(rows):,} images.")
    return runs


def train_all(
    project: ProjectPaths,
    recipe: Recipe,
    jobs: Mapping[str, RunOptions],
    tensorboard: bool,
    cluster: Cluster | None,
) -> list[Run]:
    """Train a run for each name and its options, one after another or on a cluster."""
    if not cluster:
        return [
            train(project, recipe, name, options, tensorboard) for name, options in jobs.items()
        ]
    project = project.absolute()
    runs = [named_run(project, name) for name in jobs]
    live = LiveTable()
    with cluster.connected(project) as resources:
        tasks = {
            name: (train, (project, recipe, name, options, tensorboard))
            for name, options in jobs.items()
        }
        run_tasks(tasks, resources, lambda: live.show(lambda: progress_table(runs)), live.say)
    live.clear()
    say(progress_table(runs))
    return runs
