"""What probabilities and true classes say: how sure an accuracy is, where it fails, how honest."""

import math
from dataclasses import dataclass

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, SCORED_COUNT
from kaggle_cifar.models.inference import paired_difference

Z = 1.959964  # standard errors on either side of a 95 % interval
BINS = 15  # of a reliability diagram, as in Guo et al.
SMALLEST = 1e-12  # probability: below, float32's softmax gives 0, which has no logarithm


@dataclass(frozen=True)
class Judged:
    """Images with their true classes and what a run says of them; all arrays have n rows.

    The run must not have been trained on them.
    """

    ids: np.ndarray  # int64 (n,), ascending
    labels: np.ndarray  # int32 (n,)
    probabilities: np.ndarray  # float32 (n, 10)

    @property
    def guesses(self) -> np.ndarray:
        """The class of the highest probability, int64 (n,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidences(self) -> np.ndarray:
        """The probability of the guess, float32 (n,)."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether the guess is the true class, bool (n,)."""
        return self.guesses == self.labels

    @property
    def accuracy(self) -> float:
        """The share of correct guesses."""
        return float(self.correct.mean())

    def take(self, ids: np.ndarray) -> "Judged":
        """Return the rows of these ids, which must all be there."""
        rows = np.searchsorted(self.ids, ids)
        return Judged(self.ids[rows], self.labels[rows], self.probabilities[rows])

    def __len__(self) -> int:
        return len(self.ids)


# -- how sure an accuracy is


def wilson_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy that was counted on `count` images.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.
    """
    centre = accuracy + Z**2 / (2 * count)
    half = Z * math.sqrt(accuracy * (1 - accuracy) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return (centre - half) / scale, (centre + half) / scale


def score_interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return between which scores 95 % of the leaderboard's would lie.

    The accuracy was counted on `count` images and the score will be on SCORED_COUNT others: both
    counts are samples, and their variances add up.
    """
    half = Z * math.sqrt(accuracy * (1 - accuracy) * (1 / count + 1 / SCORED_COUNT))
    return max(accuracy - half, 0.0), min(accuracy + half, 1.0)


# -- where it fails


def confusion_matrix(judged: Judged) -> np.ndarray:
    """Return how many images of each true class (rows) were taken for each class, int (10, 10)."""
    classes = len(CLASS_NAMES)
    cells = judged.labels * classes + judged.guesses
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def precision_recall(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each class's precision and recall, float (10,); 0 where nothing was to count."""
    right = np.diag(confusion)
    return right / confusion.sum(axis=0).clip(1), right / confusion.sum(axis=1).clip(1)


def frequent_confusions(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """Return the most frequent mistakes as (true class, guess, images), the first the greatest."""
    mistakes = confusion - np.diag(np.diag(confusion))
    cells = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    found = [
        (*map(int, np.unravel_index(cell, mistakes.shape)), mistakes.flat[cell]) for cell in cells
    ]
    return [(truth, guess, int(images)) for truth, guess, images in found if images]


def confident_mistakes(judged: Judged, count: int) -> np.ndarray:
    """Return the rows of the wrong guesses of the highest confidence, the surest first."""
    wrong = np.flatnonzero(~judged.correct)
    return wrong[np.argsort(-judged.confidences[wrong], kind="stable")][:count]


def likely_label_errors(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows whose label is likely wrong, the likeliest first, and the likely labels.

    Confident learning: an image belongs to another class with confidence where its probability
    of that class reaches what images labelled so have on average. Source: Northcutt, Jiang and
    Chuang, *Confident Learning*, 2021 (the off-diagonal of the confident joint, ordered by
    normalised margin).
    """
    classes = range(len(CLASS_NAMES))
    given = [judged.probabilities[judged.labels == label, label] for label in classes]
    thresholds = np.array([part.mean() if len(part) else np.inf for part in given])
    reached = np.where(judged.probabilities >= thresholds, judged.probabilities, -1)
    likely = reached.argmax(axis=1)
    rows = np.flatnonzero((reached.max(axis=1) >= 0) & (likely != judged.labels))
    own = judged.probabilities[rows, judged.labels[rows]]
    order = np.argsort(own - judged.probabilities[rows, likely[rows]], kind="stable")
    return rows[order], likely[rows][order]


# -- how honest its confidence is


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in BINS bins of equal width, and how far they lie apart."""

    confidences: np.ndarray  # float (BINS,), the mean of each bin
    accuracies: np.ndarray  # float (BINS,)
    counts: np.ndarray  # int (BINS,)

    @property
    def intervals(self) -> np.ndarray:
        """Between which two values each bin's accuracy lies in 95 of 100 cases, (BINS, 2)."""
        pairs = zip(self.accuracies, self.counts.clip(1), strict=True)
        return np.array([wilson_interval(accuracy, count) for accuracy, count in pairs])

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: the mean distance, each bin by its images."""
        distances = np.abs(self.confidences - self.accuracies)
        return float(distances @ self.counts / self.counts.sum())


def reliability(confidences: np.ndarray, correct: np.ndarray) -> Reliability:
    """Return how often guesses are correct at each confidence.

    Source: Guo, Pleiss, Sun and Weinberger, *On Calibration of Modern Neural Networks*, 2017.
    """
    bins = (confidences * BINS).astype(int).clip(0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts.clip(1)
    return Reliability(
        np.bincount(bins, confidences, BINS) / filled,
        np.bincount(bins, correct, BINS) / filled,
        counts,
    )


def fit_temperature(judged: Judged) -> float:
    """Return the temperature that gives the labels the highest likelihood.

    Above 1 the run is too sure of itself: logits divided by it would be honest. The likelihood
    is concave in the temperature's inverse, so its slope has one zero. Source: Guo et al.
    """
    logits = np.log(judged.probabilities.astype(float).clip(SMALLEST))
    own = logits[np.arange(len(judged)), judged.labels]
    low, high = 0.01, 100.0  # of the inverse
    for _ in range(40):
        middle = math.sqrt(low * high)
        scaled = softmax(middle * logits)
        if (own - (scaled * logits).sum(axis=1)).mean() > 0:
            low = middle
        else:
            high = middle
    return 1 / low


def cool(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (n, 10) as they are when the logits are divided by `temperature`."""
    return softmax(np.log(probabilities.astype(float).clip(SMALLEST)) / temperature)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


# -- two runs and more


@dataclass(frozen=True)
class Difference:
    """How much more accurate one set of guesses is than another on the same images."""

    mean: float
    half: float  # of the 95 % interval

    @property
    def certain(self) -> bool:
        """Whether the interval leaves 0 out."""
        return abs(self.mean) > self.half


def difference(correct: np.ndarray, other_correct: np.ndarray) -> Difference:
    """Return by how much the first guesses, bool (n,), are correct more often than the second."""
    mean, error = paired_difference(correct, other_correct)
    return Difference(mean, Z * error)


def common_images(parts: list[Judged]) -> list[Judged]:
    """Return the parts with only the images that all have; none of their runs saw those."""
    ids = parts[0].ids
    for part in parts[1:]:
        ids = np.intersect1d(ids, part.ids, assume_unique=True)
    return [part.take(ids) for part in parts]


def agreement(guesses: list[np.ndarray]) -> np.ndarray:
    """Return the share of images on which each two agree, float (n, n)."""
    return np.array([[np.mean(one == other) for other in guesses] for one in guesses])
