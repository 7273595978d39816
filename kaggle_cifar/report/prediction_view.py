"""The section about the predicted test images."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, SCORED_COUNT, TEST_COUNT
from kaggle_cifar.data.pictures import draw_class_counts
from kaggle_cifar.report.components import (
    SHOWN,
    GalleryImage,
    Picture,
    make_gallery,
    percent,
    save_picture,
)


class PredictionView(NamedTuple):
    """The predicted classes of the test images."""

    counts: Picture
    note: str
    images: list[GalleryImage]


def view_predictions(images: Path, figures: Path, test: np.ndarray, views: str) -> PredictionView:
    """Draw the predictions of the test images.

    `images` is the folder of test images, `test` of dtype inference.PROBABILITIES, and `views`
    one of inference.VIEWS.
    """
    predicted = test["probabilities"].argmax(axis=1)
    confidences = test["probabilities"].max(axis=1)
    counts = np.bincount(predicted, minlength=len(CLASS_NAMES))
    drawn = np.sort(np.random.default_rng(0).permutation(len(test))[:SHOWN])
    captions = [
        (f"{CLASS_NAMES[predicted[row]]} {percent(confidences[row])}", f"{test['id'][row]}.png")
        for row in drawn
    ]
    most = CLASS_NAMES[counts.argmax()]
    text = f"Predictions of each class. {most} has the most, {counts.max():,}."
    return PredictionView(
        save_picture(figures / "test_classes.png", draw_class_counts(counts.tolist()), text),
        prediction_note(len(test), views),
        make_gallery(images, test["id"][drawn], captions),
    )


def prediction_note(count: int, views: str) -> str:
    """Return how to read the counts of the predicted classes."""
    tta = "" if views == "plain" else " They were predicted with test-time augmentation (TTA)."
    if count != TEST_COUNT:
        return f"{count:,} test images; the competition itself has {TEST_COUNT:,}.{tta}"
    return (
        f"{TEST_COUNT - SCORED_COUNT:,} of the {TEST_COUNT:,} test images are junk images, which "
        "Kaggle does not score. They prevent labelling by hand. The counts therefore differ from "
        "the training set's, where each class has a tenth, and say nothing about the "
        f"score.{tta}"
    )
