"""What the validation images show: mistakes, confidence, labels that are likely wrong."""

from typing import NamedTuple

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.evaluation import analysis, plots
from kaggle_cifar.evaluation.analysis import Judged
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.components import (
    SHOWN,
    Album,
    Cell,
    Picture,
    Shown,
    Table,
    percent,
)

LISTED = 10  # of the most frequent mistakes


class Mistakes(NamedTuple):
    """Which classes are taken for which, and the surest wrong guesses."""

    wrong: int
    images: int
    confusion: Picture
    most_frequent: Table
    classes: Picture
    each_class: Table
    surest: list[Shown]


class Confidence(NamedTuple):
    """How far the confidence can be believed."""

    picture: Picture
    calibration_error: float
    temperature: float
    cooled_error: float  # the calibration error with that temperature


class Suspects(NamedTuple):
    """Labels that are likely wrong."""

    number: int
    images: int
    among_mistakes: int  # of the surest mistakes, which are not shown twice
    likeliest: list[Shown]


def show_mistakes(project: ProjectPaths, album: Album, judged: Judged) -> Mistakes:
    """Return where a run is wrong, drawn."""
    confusion = analysis.confusion_matrix(judged)
    precision, recall = analysis.precision_recall(confusion)
    frequent = analysis.frequent_confusions(confusion, LISTED)
    return Mistakes(
        int((~judged.correct).sum()),
        len(judged),
        album.add("confusion", plots.draw_confusion(confusion), confusion_text(frequent)),
        confusions_table(confusion, frequent),
        album.add(
            "precision_recall",
            plots.draw_precision_recall(precision, recall),
            f"Precision and recall of each class: {CLASS_NAMES[recall.argmin()]} is recognised "
            f"least often, {CLASS_NAMES[recall.argmax()]} most often.",
        ),
        class_table(confusion, precision, recall),
        show_surest(project, album, judged),
    )


def show_surest(project: ProjectPaths, album: Album, judged: Judged) -> list[Shown]:
    """Return the gallery of the mistakes of the highest confidence."""
    rows = analysis.confident_mistakes(judged, SHOWN)
    lines = [
        (
            f"{CLASS_NAMES[judged.guesses[row]]} {percent(judged.confidences[row])}",
            f"truth: {CLASS_NAMES[judged.labels[row]]}",
            f"{judged.ids[row]}.png",
        )
        for row in rows
    ]
    return album.add_gallery("surest_mistakes", project.images("train"), judged.ids[rows], lines)


def show_confidence(album: Album, judged: Judged) -> Confidence:
    """Return how honest a run's confidence is, drawn."""
    bins = analysis.reliability(judged.confidences, judged.correct)
    temperature = analysis.fit_temperature(judged)
    cooled = analysis.cool(judged.probabilities, temperature).max(axis=1)
    figure = plots.draw_reliability(bins.confidences, bins.accuracies, bins.intervals, bins.counts)
    text = f"Accuracy over confidence; expected calibration error {bins.calibration_error:.4f}."
    return Confidence(
        album.add("reliability", figure, text),
        bins.calibration_error,
        temperature,
        analysis.reliability(cooled, judged.correct).calibration_error,
    )


def show_suspects(project: ProjectPaths, album: Album, judged: Judged) -> Suspects:
    """Return the labels that are likely wrong, those of the surest mistakes left aside."""
    rows, likely = analysis.likely_label_errors(judged)
    others = ~np.isin(rows, analysis.confident_mistakes(judged, SHOWN))
    shown, classes = rows[others][:SHOWN], likely[others][:SHOWN]
    lines = [
        (
            f"{CLASS_NAMES[label]} {percent(judged.probabilities[row, label])}",
            f"label: {CLASS_NAMES[judged.labels[row]]}",
            f"{judged.ids[row]}.png",
        )
        for row, label in zip(shown, classes, strict=True)
    ]
    gallery = album.add_gallery(
        "likely_label_errors", project.images("train"), judged.ids[shown], lines
    )
    return Suspects(len(rows), len(judged), int((~others).sum()), gallery)


def confusion_text(frequent: list[tuple[int, int, int]]) -> str:
    """Return the confusion matrix in words."""
    most = [
        f"{images} times {CLASS_NAMES[truth]} taken for {CLASS_NAMES[guess]}"
        for truth, guess, images in frequent[:3]
    ]
    return "Confusion matrix. Most frequent: " + (", ".join(most) or "no mistake") + "."


def confusions_table(confusion: np.ndarray, frequent: list[tuple[int, int, int]]) -> Table:
    """Return the most frequent mistakes, with their share of the true class's images."""
    totals = confusion.sum(axis=1)
    rows = [
        (
            Cell(CLASS_NAMES[truth]),
            Cell(CLASS_NAMES[guess]),
            Cell(f"{images:,}", images),
            Cell(percent(images / totals[truth]), images / totals[truth]),
        )
        for truth, guess, images in frequent
    ]
    return Table("Most frequent mistakes", ("truth", "guess", "images", "of the class"), rows)


def class_table(confusion: np.ndarray, precision: np.ndarray, recall: np.ndarray) -> Table:
    """Return precision and recall by class."""
    columns = zip(CLASS_NAMES, confusion.sum(axis=1).tolist(), precision, recall, strict=True)
    rows = [
        (
            Cell(name),
            Cell(f"{images:,}", images),
            Cell(f"{class_precision:.3f}", class_precision),
            Cell(f"{class_recall:.3f}", class_recall),
        )
        for name, images, class_precision, class_recall in columns
    ]
    return Table("Each class", ("class", "images", "precision", "recall"), rows)
