"""Several runs of one recipe: seeds, to know what is luck, and folds, to judge on all images."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kaggle_cifar.cluster import Cluster, run_tasks
from kaggle_cifar.dataset import check_split
from kaggle_cifar.ensembles import Member, validation_probabilities
from kaggle_cifar.inference import read_probabilities, standard_error, write_probabilities
from kaggle_cifar.ledger import describe_standing, mean_and_spread
from kaggle_cifar.progress import LiveTable, say
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.runs import Run, RunOptions, named_run
from kaggle_cifar.storage import Layout
from kaggle_cifar.tables import labels_of
from kaggle_cifar.training import train


def train_seeds(
    layout: Layout,
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
    runs = train_all(layout, recipe, jobs, tensorboard, cluster)
    if count > 1 and options.validation != "none":
        accuracies = [run.read_validation_accuracy() for run in runs]
        say(f"{name}, {count} seeds: {mean_and_spread(accuracies)}.")
    return runs


def train_folds(
    layout: Layout,
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
    folds = [f"fold{number}of{count}" for number in range(1, count + 1)]
    check_split(layout, options.limit, folds[-1])  # the smallest part
    path = layout.runs / f"{name}-{count}folds.npy"
    if path.exists():
        read_probabilities(path)  # raises, before it is replaced, unless it is such a file
    jobs = {f"{name}-{fold}": dataclasses.replace(options, validation=fold) for fold in folds}
    runs = train_all(layout, recipe, jobs, tensorboard, cluster)
    rows = validation_probabilities(Member(name, tuple(runs)), "plain")
    write_probabilities(path, rows["id"], rows["probabilities"])
    truth = labels_of(layout, rows["id"])
    accuracy = float(np.mean(rows["probabilities"].argmax(axis=1) == truth))
    error = standard_error(accuracy, len(rows))
    say(f"{path}: out-of-fold accuracy {accuracy:.4f} ± {error:.4f} on {len(rows):,} images.")
    return runs


def train_all(
    layout: Layout,
    recipe: Recipe,
    jobs: Mapping[str, RunOptions],
    tensorboard: bool,
    cluster: Cluster | None,
) -> list[Run]:
    """Train a run for each name and its options, one after the other or on a cluster."""
    if not cluster:
        return [train(layout, recipe, name, options, tensorboard) for name, options in jobs.items()]
    layout = layout.absolute()
    runs = [named_run(layout, name) for name in jobs]
    live = LiveTable()
    with cluster.connected(layout) as share:
        tasks = {
            name: (train, (layout, recipe, name, options, tensorboard))
            for name, options in jobs.items()
        }
        run_tasks(tasks, share, lambda: live.show(lambda: describe_standing(runs)), live.say)
    live.clear()
    say(describe_standing(runs))
    return runs
