"""Several runs of one recipe: seeds, to know what is luck, and folds, to judge on all images."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kaggle_cifar.console import LiveTable, say
from kaggle_cifar.data.dataset import check_split
from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.data.validation_split import Fold
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import read_probabilities, standard_error, write_probabilities
from kaggle_cifar.prediction.ensemble import EnsembleMember, validation_probabilities
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.search.cluster import Cluster, run_tasks
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.run_table import mean_and_spread, progress_table
from kaggle_cifar.training.train import train


def train_seeds(
    project: ProjectPaths,
    recipe: Recipe,
    name: str,
    options: RunOptions,
    count: int,
    tensorboard: bool = False,
    cluster: Cluster | None = None,
) -> list[Run]:
    """Train the runs `name`-seed0, -seed1, … and tell the mean and spread of their accuracy.

    Raises as `training.train`; called again, it goes on where it was.
    """
    jobs = {f"{name}-seed{seed}": dataclasses.replace(options, seed=seed) for seed in range(count)}
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
    """Train `count` runs, each validated on another part of the images, and keep what they say.

    `runs/<name>-<count>folds.npy` gets the out-of-fold probabilities: for every training image
    those of the run that was not trained on it. Raises as `training.train`; called again, it
    goes on where it was.
    """
    folds = [str(Fold(number, count)) for number in range(1, count + 1)]
    check_split(project, options.limit, folds[-1])  # the smallest part
    path = project.runs / f"{name}-{count}folds.npy"
    if path.exists():
        read_probabilities(path)  # raises, before it is replaced, unless it is such a file
    jobs = {f"{name}-{fold}": dataclasses.replace(options, validation=fold) for fold in folds}
    runs = train_all(project, recipe, jobs, tensorboard, cluster)
    rows = validation_probabilities(EnsembleMember(name, tuple(runs)), "plain")
    write_probabilities(path, rows["id"], rows["probabilities"])
    truth = labels_of(project, rows["id"])
    accuracy = float(np.mean(rows["probabilities"].argmax(axis=1) == truth))
    error = standard_error(accuracy, len(rows))
    say(f"{path}: out-of-fold accuracy {accuracy:.4f} ± {error:.4f} on {len(rows):,} images.")
    return runs


def train_all(
    project: ProjectPaths,
    recipe: Recipe,
    jobs: Mapping[str, RunOptions],
    tensorboard: bool,
    cluster: Cluster | None,
) -> list[Run]:
    """Train a run for each name and its options, one after the other or on a cluster."""
    if not cluster:
        return [
            train(project, recipe, name, options, tensorboard) for name, options in jobs.items()
        ]
    project = project.absolute()
    runs = [named_run(project, name) for name in jobs]
    live = LiveTable()
    with cluster.connected(project) as share:
        tasks = {
            name: (train, (project, recipe, name, options, tensorboard))
            for name, options in jobs.items()
        }
        run_tasks(tasks, share, lambda: live.show(lambda: progress_table(runs)), live.say)
    live.clear()
    say(progress_table(runs))
    return runs
