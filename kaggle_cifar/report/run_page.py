"""The page of a run."""

from typing import Any, NamedTuple

import numpy as np

from kaggle_cifar import figures
from kaggle_cifar.competition import CLASS_NAMES, SCORED_COUNT, TEST_COUNT
from kaggle_cifar.outline import has_validation
from kaggle_cifar.progress import duration
from kaggle_cifar.report import analysis
from kaggle_cifar.report.analysis import Judged
from kaggle_cifar.report.data_view import DataView
from kaggle_cifar.report.elements import (
    SHOWN,
    Album,
    Cell,
    Picture,
    Shown,
    Table,
    column,
    ending,
    percent,
    render,
)
from kaggle_cifar.report.reading import Findings, flatten, training_command
from kaggle_cifar.report.rows import submissions_table
from kaggle_cifar.report.verdict import show_confidence, show_mistakes, show_suspects
from kaggle_cifar.storage import Layout


def run_page(layout: Layout, found: Findings, data: DataView | None) -> str:
    """Return the page of a run, and write its figures to the run's folder."""
    album = Album(found.run.folder / "figures")
    return render(
        "run.html",
        title=found.name,
        found=found,
        headline=headline(found),
        curves=draw_curves(album, found.history),
        **verdict_on(layout, album, found.judged),
        test=look_at_test(layout, album, found),
        submissions=submissions_table(found.submissions),
        data=data,
        command=training_command(found),
        settings=settings_tables(found),
    )


def verdict_on(layout: Layout, album: Album, judged: Judged | None) -> dict[str, Any]:
    """Return the three sections about the validation images, None each where there are none."""
    if judged is None:
        return {"mistakes": None, "confidence": None, "suspects": None}
    return {
        "mistakes": show_mistakes(layout, album, judged),
        "confidence": show_confidence(album, judged),
        "suspects": show_suspects(layout, album, judged),
    }


class Card(NamedTuple):
    """A figure of the headline: what it is, its value, and what to know about it."""

    label: str
    value: str
    note: str


def headline(found: Findings) -> list[Card]:
    """Return what one wants to know first."""
    cards = [*accuracy_cards(found.metrics)]
    cards.append(time_card(found))
    if machine := machine_of(found.environment):
        cards.append(Card("Machine", *machine))
    if parameters := found.metrics.get("parameters"):
        text = f"network {found.recipe.get('network', 'unknown')}"
        cards.append(Card("Parameters", f"{parameters:,}", text))
    return cards


def accuracy_cards(metrics: dict[str, Any]) -> list[Card]:
    """Return the validation accuracy and what it promises, where there was a validation."""
    if not has_validation(metrics):
        return []
    accuracy, count = metrics["validation_accuracy"], metrics["validation_images"]
    low, high = analysis.wilson_interval(accuracy, count)
    note = f"95 %: {low:.4f} to {high:.4f}, on {count:,} images"
    cards = [Card("Validation accuracy", f"{accuracy:.4f}", note)]
    note = f"95 %: {count:,} images measured, {SCORED_COUNT:,} others are scored"
    cards.append(Card("Expected score at Kaggle", score_range(accuracy, count), note))
    if in_six_views := metrics.get("validation_accuracy_tta"):
        note = f"expected score {score_range(in_six_views, count)}, by predict --tta"
        cards.append(Card("Accuracy in six views", f"{in_six_views:.4f}", note))
    return cards


def score_range(accuracy: float, count: int) -> str:
    """Return between which scores 95 of 100 would lie, for an accuracy on `count` images."""
    worst, best = analysis.score_interval(accuracy, count)
    return f"{worst:.3f} to {best:.3f}"


def time_card(found: Findings) -> Card:
    """Return how long the training took, or has taken so far."""
    done = found.epochs
    planned = found.recipe.get("epochs")
    whole = planned is not None and done >= planned
    note = f"{found.planned_epochs} epochs" if whole else f"{done} of {found.planned_epochs} epochs"
    if best := found.metrics.get("best_epoch"):
        note += f", the weights of epoch {best}"
    return Card("Training time", duration(found.seconds), note)


def machine_of(environment: dict[str, Any]) -> tuple[str, str] | None:
    """Return the processor or the GPUs, and the rest of the machine."""
    machine = environment.get("machine")
    if not machine:
        return None
    gpus = machine.get("gpus") or []
    processor = str(machine.get("processor", "unknown processor"))
    cores = f"{machine.get('cores', '?')} cores"
    if gpus:
        return ", ".join(gpus), f"{processor}, {cores}"
    return processor, f"{cores}, no GPU"


def draw_curves(album: Album, history: list[dict[str, Any]]) -> list[Picture]:
    """Draw accuracy, loss and rate over the epochs."""
    if not history:
        return []
    pictures = []
    for key in ("accuracy", "loss"):
        lines = {"training": column(history, key)}
        if any(value is not None for value in column(history, f"val_{key}")):
            lines["validation"] = column(history, f"val_{key}")
        ends = ", ".join(f"{label} ends at {ending(values)}" for label, values in lines.items())
        text = f"{key.capitalize()} over {len(history)} epochs: {ends}."
        pictures.append(album.add(key, figures.draw_lines(lines, key), text))
    rates = column(history, "learning_rate")
    if any(rates):
        known = [rate for rate in rates if rate is not None]
        text = f"Learning rate over the epochs, from {known[0]:.2e} to {known[-1]:.2e}."
        lines = {"learning rate": rates}
        figure = figures.draw_lines(lines, "learning rate", logarithmic=True)
        pictures.append(album.add("learning_rate", figure, text))
    return pictures


class TestView(NamedTuple):
    """What the predictions of the test images show."""

    counts: Picture
    note: str
    images: list[Shown]


def look_at_test(layout: Layout, album: Album, found: Findings) -> TestView | None:
    """Return the test images' predictions, drawn; None where there are none."""
    test = found.test
    if test is None:
        return None
    guesses = test["probabilities"].argmax(axis=1)
    confidences = test["probabilities"].max(axis=1)
    counts = np.bincount(guesses, minlength=len(CLASS_NAMES))
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[:SHOWN])
    lines = [
        (f"{CLASS_NAMES[guesses[row]]} {percent(confidences[row])}", f"{test['id'][row]}.png")
        for row in drawn
    ]
    most = CLASS_NAMES[counts.argmax()]
    text = f"How often each class is predicted; most often {most}, {counts.max():,} times."
    return TestView(
        album.add("test_classes", figures.draw_class_counts(counts.tolist()), text),
        test_note(len(test), found.test_views),
        album.add_gallery("test_images", layout.images("test"), test["id"][drawn], lines),
    )


def test_note(count: int, views: str) -> str:
    """Return what to think of the predicted classes' frequencies."""
    seen = "" if views == "plain" else " Each image was seen in six views."
    if count != TEST_COUNT:
        return f"{count:,} test images; the competition itself has {TEST_COUNT:,}.{seen}"
    junk = TEST_COUNT - SCORED_COUNT
    return (
        f"{junk:,} of the {TEST_COUNT:,} test images are junk that Kaggle does not score, put "
        "there against labelling by hand. So the frequencies differ from the training set's, where "
        f"each class has a tenth, and tell nothing of the score.{seen}"
    )


def settings_tables(found: Findings) -> list[Table]:
    """Return the recipe, the options and the environment in full."""
    parts = (
        ("Recipe", found.recipe),
        ("Options", found.options),
        ("Environment", found.environment),
    )
    return [
        Table(title, ("setting", "value"), [(Cell(k), Cell(v)) for k, v in flatten(part).items()])
        for title, part in parts
        if part
    ]
