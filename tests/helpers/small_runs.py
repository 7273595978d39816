"""Write run folders as training does, without training."""

import dataclasses

import numpy as np

from kaggle_cifar import recipes
from kaggle_cifar.competition import TRAIN_LABELS
from kaggle_cifar.data.labels import read_training_labels
from kaggle_cifar.files import ProjectPaths, write_json, write_text
from kaggle_cifar.models.inference import write_probabilities
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run

EPOCHS = 4


def draw_probabilities(labels, accuracy, seed) -> np.ndarray:
    """Return float32 (n, 10) with about this accuracy."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(10, 0.4), len(labels)).astype(np.float32)
    shown = np.where(rng.random(len(labels)) < accuracy, labels, rng.integers(0, 10, len(labels)))
    rows = np.arange(len(labels))
    probabilities[rows, shown] = probabilities.max(axis=1) + 0.5
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def write_run(
    project: ProjectPaths, name: str, accuracy=0.7, seed=0, recipe=None, **options
) -> Run:
    """Write a finished run that was validated on the last fifth of the training images."""
    run = Run(project.runs / name)
    recipe = recipe or dataclasses.replace(recipes.model3(), epochs=EPOCHS)
    settings = {
        "recipe": dataclasses.asdict(recipe),
        "options": dataclasses.asdict(RunOptions(seed=seed, **options)),
    }
    write_json(run.description_file, settings)
    machine = {"processor": "a small one", "cores": 2, "gpus": []}
    write_json(run.folder / "environment.json", {"machine": machine, "python": "3.11"})
    rows = [f"{i},{2 / i},{0.2 * i},{2.1 / i},{0.19 * i},0.001,1.5\n" for i in range(1, EPOCHS + 1)]
    header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds\n"
    write_text(run.history_file, header + "".join(rows))
    ids, labels = read_training_labels(project.raw / TRAIN_LABELS)
    ids, labels = ids[len(ids) * 4 // 5 :], labels[len(ids) * 4 // 5 :]
    probabilities = draw_probabilities(labels, accuracy, seed)
    write_probabilities(run.folder / "validation_probabilities.npy", ids, probabilities)
    metrics = {
        "recipe": recipe.name,
        "seed": seed,
        "parameters": 309_290,
        "epochs": EPOCHS,
        "best_epoch": EPOCHS,
        "seconds": 6.0,
        "train_accuracy": 0.9,
        "validation_images": len(ids),
        "validation_accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
    }
    write_json(run.metrics_file, metrics)
    return run


def write_test_probabilities(run: Run, ids, seed=0) -> None:
    """Write test probabilities as `predict` does."""
    ids = np.array(ids)
    probabilities = draw_probabilities(ids % 10, 0.5, seed)
    write_probabilities(run.folder / "test_probabilities.npy", ids, probabilities)
