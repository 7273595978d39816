"""Labels that are likely wrong, by confident learning."""

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.evaluation.metrics import Predictions


def likely_label_errors(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose label is likely wrong, the likeliest first, and the likely labels.

    An image is confidently of a class if its probability of that class reaches the mean
    probability of the images with that label. The rows are the off-diagonal of the confident
    joint, ordered by normalized margin. Source: Northcutt, Jiang and Chuang, *Confident
    Learning*, 2021.
    """
    probabilities, labels = predictions.probabilities, predictions.labels
    of_class = [probabilities[labels == label, label] for label in range(len(CLASS_NAMES))]
    thresholds = np.array([part.mean() if len(part) else np.inf for part in of_class])
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    likely = reached.argmax(axis=1)
    rows = np.flatnonzero((reached.max(axis=1) >= 0) & (likely != labels))
    own = probabilities[rows, labels[rows]]
    order = np.argsort(own - probabilities[rows, likely[rows]], kind="stable")
    return rows[order], likely[rows][order]
