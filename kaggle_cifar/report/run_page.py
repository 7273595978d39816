"""The page of a run."""

from pathlib import Path
from typing import Any, NamedTuple

from kaggle_cifar.console import counted, duration
from kaggle_cifar.evaluation.intervals import wilson_interval
from kaggle_cifar.evaluation.plots import draw_lines
from kaggle_cifar.report.components import (
    Cell,
    Picture,
    Table,
    column,
    last_value,
    render,
    save_picture,
)
from kaggle_cifar.report.data_view import DataView
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.prediction_view import view_predictions
from kaggle_cifar.report.reading import Findings
from kaggle_cifar.report.submission_ledger import submissions_table
from kaggle_cifar.report.training_command import repeating_command, resuming_command
from kaggle_cifar.report.validation_view import (
    view_calibration,
    view_label_errors,
    view_mistakes,
)
from kaggle_cifar.training.run_summary import has_validation
from kaggle_cifar.training.short_training import short_training_note


def run_page(found: Findings, expectations: Expectations, data: DataView | None) -> str:
    """Return the page of a run, and write its figures to the run's folder."""
    project, figures = expectations.project, found.run.folder / "figures"
    sections: dict[str, Any] = {"mistakes": None, "calibration": None, "label_errors": None}
    if found.validation:
        images = project.images("train")
        sections["mistakes"] = view_mistakes(images, figures, found.validation)
        sections["calibration"] = view_calibration(figures, found.validation)
        sections["label_errors"] = view_label_errors(images, found.validation)
    test = None
    if found.test is not None:
        test = view_predictions(project.images("test"), figures, found.test, found.test_views)
    csv = project.submissions / f"{found.name}.csv"
    return render(
        "run.html",
        title=found.name,
        found=found,
        headline=headline(found, expectations),
        expected=expectations.of_run(found.name),
        warning=short_training_note(found.recipe, found.metrics),
        curves=draw_history(figures, found.history),
        curves_notes=curves_notes(found),
        **sections,
        test=test,
        submissions=submissions_table(expectations, found.submissions),
        predict=project.command("predict", found.name),
        submit=project.command("submit", csv, "--message", found.name),
        data=data,
        command=(
            repeating_command(project, found)
            if found.run.finished
            else resuming_command(project, found)
        ),
        settings=settings_tables(found),
    )


MIXED_PRECISION = {True: "where the hardware is faster with it", False: "no"}


class Card(NamedTuple):
    """A result of the headline: its label, value and note."""

    label: str
    value: str
    note: str


def headline(found: Findings, expectations: Expectations) -> list[Card]:
    """Return the most important results."""
    cards = [*accuracy_cards(found, expectations), time_card(found)]
    if machine := found.environment.get("machine"):
        cards.append(machine_card(machine))
    if parameters := found.metrics.get("parameters"):
        text = f"network {found.recipe.get('network', 'unknown')}"
        cards.append(Card("Parameters", f"{parameters:,}", text))
    return cards


def accuracy_cards(found: Findings, expectations: Expectations) -> list[Card]:
    """Return the validation accuracy and the expected score; nothing without validation."""
    metrics = found.metrics
    if not has_validation(metrics):
        return []
    accuracy, count = metrics["validation_accuracy"], metrics["validation_images"]
    low, high = wilson_interval(accuracy, count)
    note = f"95 %: {low:.4f} to {high:.4f}, on {count:,} images"
    cards = [Card("Validation accuracy", f"{accuracy:.4f}", note)]
    if expected := expectations.of_run(found.name):
        cards.append(Card("Expected Kaggle score", str(expected), "95 % prediction interval"))
    if expected := expectations.of_run(found.name, "tta"):
        note = f"expected score {expected}, with `predict --tta`"
        cards.append(Card("Validation accuracy with TTA", f"{expected.accuracy:.4f}", note))
    return cards


def time_card(found: Findings) -> Card:
    """Return the training time so far."""
    done = found.epochs
    planned = found.recipe.get("epochs")
    whole = planned is not None and done >= planned
    note = found.planned if whole else f"{done} of {found.planned}"
    if best := found.metrics.get("best_epoch"):
        note += f", weights from epoch {best}"
    return Card("Training time", duration(found.seconds), note)


def machine_card(machine: dict[str, Any]) -> Card:
    """Return the GPUs, or the processor if there is none, and the rest of the machine."""
    processor = str(machine.get("processor", "unknown processor"))
    cores = counted(machine["cores"], "core") if "cores" in machine else "unknown cores"
    if gpus := machine.get("gpus"):
        return Card("Machine", ", ".join(gpus), f"{processor}, {cores}")
    return Card("Machine", processor, f"{cores}, no GPU")


def draw_history(figures: Path, history: list[dict[str, Any]]) -> list[Picture]:
    """Draw accuracy, loss and learning rate over the epochs."""
    if not history:
        return []
    pictures = []
    for key in ("accuracy", "loss"):
        lines = {"training": column(history, key)}
        if any(value is not None for value in column(history, f"val_{key}")):
            lines["validation"] = column(history, f"val_{key}")
        ends = ", ".join(f"{label} ends at {last_value(line)}" for label, line in lines.items())
        text = f"{key.capitalize()} over {counted(len(history), 'epoch')}: {ends}."
        pictures.append(save_picture(figures / f"{key}.png", draw_lines(lines, key), text))
    learning_rates = column(history, "learning_rate")
    if any(learning_rates):
        known = [value for value in learning_rates if value is not None]
        text = f"Learning rate over the epochs, from {known[0]:.2e} to {known[-1]:.2e}."
        lines = {"learning rate": learning_rates}
        figure = draw_lines(lines, "learning rate", logarithmic=True)
        pictures.append(save_picture(figures / "learning_rate.png", figure, text))
    return pictures


def curves_notes(found: Findings) -> list[str]:
    """Return why the training and the validation curves of a run are not on one scale."""
    if not found.history or all(row.get("val_loss") is None for row in found.history):
        return []
    notes = [
        "The training curves are means over an epoch, in which the weights still change, with the "
        "dropout and the augmentation of the recipe. The validation curves are measured after the "
        "epoch, without them."
    ]
    if smoothing := found.recipe.get("label_smoothing"):
        notes.append(
            f"The training loss compares with labels smoothed by {smoothing:g}, so it stays high "
            "even if every prediction is correct. The validation loss has the plain labels."
        )
    return notes


def settings_tables(found: Findings) -> list[Table]:
    """Return the recipe, the given options and the environment.

    An option that was not given decides nothing, so it is omitted.
    """
    options = found.options.items()
    given = {key: value for key, value in options if value is not None and value is not False}
    recipe = dict(found.recipe)
    if "mixed_precision" in recipe:
        recipe["mixed_precision"] = MIXED_PRECISION[bool(recipe["mixed_precision"])]
    parts = {"Recipe": recipe, "Options": given, "Environment": found.environment}
    return [
        Table(
            title,
            ("setting", "value"),
            [(Cell(key), Cell(value)) for key, value in flatten(part).items()],
        )
        for title, part in parts.items()
        if part
    ]


def flatten(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted keys, as text."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value_text(value)
    return flat


def value_text(value: Any) -> str:
    """Return a JSON value for a table."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
