"""The result of a training: weights, metrics, curves, probabilities."""

import dataclasses
from typing import Any

import numpy as np

from kaggle_cifar.console import counted, duration, say
from kaggle_cifar.evaluation.intervals import half_interval, standard_error
from kaggle_cifar.evaluation.plots import draw_curves
from kaggle_cifar.figures import save
from kaggle_cifar.files import atomic_write, write_json, write_text
from kaggle_cifar.models.inference import VIEWS, write_probabilities
from kaggle_cifar.training.checkpoint import remove_checkpoint
from kaggle_cifar.training.cost import count_flops
from kaggle_cifar.training.evaluator import accuracy_of
from kaggle_cifar.training.loop import Training
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.short_training import short_training_note

TRAINING_SAMPLE = 10_000  # training images on which the result is evaluated, evenly spread


def write_result(training: Training) -> None:
    """Write the result, then remove the checkpoint."""
    run, state = training.run, training.state
    if state.best_weights:
        state.model.set_weights(state.best_weights)
    training.write_history()  # a kill may have come between the checkpoint and this file
    save_weights(training)
    summary = run.folder / "summary.txt"
    state.model.summary(print_fn=lambda text: write_text(summary, text + "\n"))
    save(draw_curves(state.history, run.name), run.folder / "figures" / "curves.png")
    metrics = measure(training)
    write_json(run.metrics_file, metrics)
    remove_checkpoint(run.checkpoint_file)
    say(format_result(run, metrics))
    if note := short_training_note(dataclasses.asdict(training.recipe), metrics):
        say(note)


def save_weights(training: Training) -> None:
    """Write the weights, atomically."""
    with atomic_write(training.run.weights_file) as partial:
        # Keras requires this suffix.
        named = partial.with_name(f"{partial.name}.weights.h5")
        training.state.model.save_weights(named)
        named.replace(partial)


def count_evaluated_images(training: Training) -> int:
    """Return how many images `measure` evaluates; with TTA, one is six."""
    return min(TRAINING_SAMPLE, len(training.data)) + 7 * len(training.validation)


def measure(training: Training) -> dict[str, Any]:
    """Return the metrics of the result; write its probabilities."""
    history = training.state.history
    count = min(TRAINING_SAMPLE, len(training.data))
    sample = training.data.take(np.linspace(0, len(training.data) - 1, count).astype(int))
    loss, probabilities = training.evaluator.evaluate(sample)
    return {
        "recipe": training.recipe.name,
        "seed": training.options.seed,
        "parameters": training.state.model.count_params(),
        "petaflop": count_petaflop(training),
        "epochs": len(history),
        "best_epoch": find_best_epoch(training),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "train_images": len(training.data),
        "train_loss": loss,
        "train_accuracy": accuracy_of(probabilities, sample),
        "validation": training.options.validation,
        "validation_images": len(training.validation),
        **(measure_validation(training) if len(training.validation) else {}),
    }


def measure_validation(training: Training) -> dict[str, float]:
    """Return the validation metrics; write the validation probabilities."""
    data, run = training.validation, training.run
    loss, plain = training.evaluator.evaluate(data)
    with_tta = training.evaluator.predict_with_tta(data)
    accuracy = accuracy_of(plain, data)
    for views, probabilities in zip(VIEWS, (plain, with_tta), strict=True):
        write_probabilities(run.probabilities_file("validation", views), data.ids, probabilities)
    return {
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "validation_standard_error": standard_error(accuracy, len(data)),
        "validation_accuracy_tta": accuracy_of(with_tta, data),
    }


def find_best_epoch(training: Training) -> int:
    """Return the epoch, from one, whose weights are the result."""
    best_epoch = training.state.schedule.best_epoch
    if training.state.best_weights and best_epoch is not None:
        return best_epoch + 1
    return len(training.state.history)


def count_petaflop(training: Training) -> float:
    """Return the operations of all steps in units of 1e15."""
    total = training.total_steps
    steps = min(training.steps_done, total)
    flops = count_flops(training.recipe, training.state, training.source, steps, total)
    return round(flops / 1e15, 4)


def format_result(run: Run, metrics: dict[str, Any]) -> str:
    """Return the line about a finished run."""
    validated = "trained on all images, without validation"
    if metrics["validation_images"]:
        accuracy, count = metrics["validation_accuracy"], metrics["validation_images"]
        validated = (
            f"validation accuracy {accuracy:.4f} ± {half_interval(accuracy, count):.4f} (95 %) on "
            f"{count:,} images (epoch {metrics['best_epoch']}), "
            f"{metrics['validation_accuracy_tta']:.4f} with TTA"
        )
    epochs = counted(metrics["epochs"], "epoch")
    return f"{run.folder}: {validated}, {epochs} in {duration(metrics['seconds'])}."
