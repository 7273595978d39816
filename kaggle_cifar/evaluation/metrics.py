"""Labels and probabilities to accuracies, confusions and agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES


@dataclass(frozen=True)
class Predictions:
    """Images with their labels and a run's probabilities; all arrays have n rows.

    The run must not have been trained on these images.
    """

    ids: np.ndarray  # int64 (n,), ascending
    labels: np.ndarray  # int32 (n,)
    probabilities: np.ndarray  # float32 (n, 10)

    @property
    def classes(self) -> np.ndarray:
        """The predicted class of each image, int64 (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidences(self) -> np.ndarray:
        """The probability of the predicted class, float32 (n,)."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the label, bool (n,)."""
        return np.asarray(self.classes == self.labels)

    @property
    def accuracy(self) -> float:
        """The share of correct predictions."""
        return float(self.correct.mean())

    def take(self, ids: np.ndarray) -> "Predictions":
        """Return the rows of these ids, which must all be there."""
        rows = np.searchsorted(self.ids, ids)
        return Predictions(self.ids[rows], self.labels[rows], self.probabilities[rows])

    def __len__(self) -> int:
        return len(self.ids)


def confusion_matrix(predictions: Predictions) -> np.ndarray:
    """Return the number of images of each label (rows) and predicted class, int (10, 10)."""
    classes = len(CLASS_NAMES)
    cells = predictions.labels * classes + predictions.classes
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def precision_recall(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's precision and recall, float (10,); 0 if there is no such image."""
    correct = np.diag(confusion)
    return correct / confusion.sum(axis=0).clip(1), correct / confusion.sum(axis=1).clip(1)


def frequent_confusions(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes as (label, predicted class, images), by falling images."""
    mistakes = confusion - np.diag(np.diag(confusion))
    cells = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    labels, classes = np.unravel_index(cells, mistakes.shape)
    found = zip(labels.tolist(), classes.tolist(), mistakes.flat[cells].tolist(), strict=True)
    return [(label, predicted, images) for label, predicted, images in found if images]


def confident_mistakes(predictions: Predictions, count: int) -> np.ndarray:
    """Return the rows of the `count` mistakes of the highest confidence, by falling confidence."""
    wrong = np.flatnonzero(~predictions.correct)
    return wrong[np.argsort(-predictions.confidences[wrong], kind="stable")][:count]


def common_images(parts: Sequence[Predictions]) -> list[Predictions]:
    """Return the parts with only the images that all of them have."""
    ids = parts[0].ids
    for part in parts[1:]:
        ids = np.intersect1d(ids, part.ids, assume_unique=True)
    return [part.take(ids) for part in parts]


def agreement(parts: Sequence[Predictions]) -> np.ndarray:
    """Return the share of the images on which each two agree, float (n, n)."""
    classes = [part.classes for part in parts]
    return np.array([[np.mean(one == other) for other in classes] for one in classes])
