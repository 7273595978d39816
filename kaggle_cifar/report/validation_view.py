"""The sections about the validation images: mistakes, calibration, likely label errors."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.evaluation import calibration, metrics, plots
from kaggle_cifar.evaluation.label_errors import likely_label_errors
from kaggle_cifar.evaluation.metrics import Predictions
from kaggle_cifar.report.components import (
    SHOWN,
    Cell,
    GalleryImage,
    Picture,
    Table,
    make_gallery,
    percent,
    save_picture,
)

LISTED = 10  # most frequent mistakes


class MistakesView(NamedTuple):
    """Which classes are confused, and the mistakes of the highest confidence."""

    wrong: int
    images: int
    confusion: Picture
    most_frequent: Table
    classes: Picture
    each_class: Table
    most_confident: list[GalleryImage]


class CalibrationView(NamedTuple):
    """How well confidence matches accuracy."""

    picture: Picture
    calibration_error: float
    temperature: float
    scaled_error: float  # the calibration error with that temperature


class LabelErrorsView(NamedTuple):
    """Labels that are likely wrong."""

    number: int
    images: int
    among_mistakes: int  # shown above, among the most confident mistakes
    likeliest: list[GalleryImage]


def view_mistakes(images: Path, figures: Path, predictions: Predictions) -> MistakesView:
    """Draw a run's mistakes; `images` is the folder of training images."""
    confusion = metrics.confusion_matrix(predictions)
    precision, recall = metrics.precision_recall(confusion)
    frequent = metrics.frequent_confusions(confusion, LISTED)
    return MistakesView(
        int((~predictions.correct).sum()),
        len(predictions),
        save_picture(
            figures / "confusion.png", plots.draw_confusion(confusion), confusion_text(frequent)
        ),
        confusions_table(confusion, frequent),
        save_picture(
            figures / "precision_recall.png",
            plots.draw_precision_recall(precision, recall),
            f"Precision and recall of each class. {CLASS_NAMES[recall.argmin()]} has the lowest "
            f"recall, {CLASS_NAMES[recall.argmax()]} the highest.",
        ),
        class_table(confusion, precision, recall),
        confident_mistakes_gallery(images, predictions),
    )


def confident_mistakes_gallery(images: Path, predictions: Predictions) -> list[GalleryImage]:
    """Return the gallery of the mistakes of the highest confidence."""
    rows = metrics.confident_mistakes(predictions, SHOWN)
    captions = [
        (
            f"{CLASS_NAMES[predictions.classes[row]]} {percent(predictions.confidences[row])}",
            f"label: {CLASS_NAMES[predictions.labels[row]]}",
            f"{predictions.ids[row]}.png",
        )
        for row in rows
    ]
    return make_gallery(images, predictions.ids[rows], captions)


def view_calibration(figures: Path, predictions: Predictions) -> CalibrationView:
    """Draw how well a run's confidence matches its accuracy."""
    bins = calibration.reliability(predictions.confidences, predictions.correct)
    temperature = calibration.fit_temperature(predictions)
    scaled = calibration.scale_temperature(predictions.probabilities, temperature).max(axis=1)
    text = f"Accuracy over confidence. The calibration error is {bins.calibration_error:.4f}."
    return CalibrationView(
        save_picture(figures / "reliability.png", plots.draw_reliability(bins), text),
        bins.calibration_error,
        temperature,
        calibration.reliability(scaled, predictions.correct).calibration_error,
    )


def view_label_errors(images: Path, predictions: Predictions) -> LabelErrorsView:
    """Return the labels that are likely wrong, without the most confident mistakes."""
    rows, likely = likely_label_errors(predictions)
    others = ~np.isin(rows, metrics.confident_mistakes(predictions, SHOWN))
    shown, classes = rows[others][:SHOWN], likely[others][:SHOWN]
    captions = [
        (
            f"{CLASS_NAMES[likely_class]} {percent(predictions.probabilities[row, likely_class])}",
            f"label: {CLASS_NAMES[predictions.labels[row]]}",
            f"{predictions.ids[row]}.png",
        )
        for row, likely_class in zip(shown, classes, strict=True)
    ]
    gallery = make_gallery(images, predictions.ids[shown], captions)
    return LabelErrorsView(len(rows), len(predictions), int((~others).sum()), gallery)


def confusion_text(frequent: list[tuple[int, int, int]]) -> str:
    """Return the description of a confusion matrix."""
    most = [
        f"{CLASS_NAMES[label]} predicted as {CLASS_NAMES[predicted]}, {images} times"
        for label, predicted, images in frequent[:3]
    ]
    return f"Confusion matrix. Most frequent mistakes: {'; '.join(most) or 'none'}."


def confusions_table(confusion: np.ndarray, frequent: list[tuple[int, int, int]]) -> Table:
    """Return the most frequent mistakes, with their share of the images with that label."""
    totals = confusion.sum(axis=1)
    rows = [
        (
            Cell(CLASS_NAMES[label]),
            Cell(CLASS_NAMES[predicted]),
            Cell(f"{images:,}", images),
            Cell(percent(images / totals[label]), images / totals[label]),
        )
        for label, predicted, images in frequent
    ]
    header = ("label", "prediction", "images", "share of label")
    return Table("Most frequent mistakes", header, rows)


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
