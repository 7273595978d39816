"""Adaptive test-time augmentation: all views only for the images that the network is unsure of.

An image takes all views if its margin is below the run's threshold. The margin is the difference
between the two highest probabilities of the image itself.
"""

import numpy as np

from kaggle_cifar.data.labels import labels_of
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.models.inference import VIEWS, read_probabilities
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.run import Run

MOST_LOST = 0.0002  # accuracy that the threshold may cost on the validation images
LEAST_AGREEING = 0.998  # share of the validation images whose class must be that of all views
FEWEST_IMAGES = round(1 / MOST_LOST)  # on fewer images, no loss is as small as MOST_LOST
GRID = np.arange(1001) / 1000  # the possible thresholds

# By the recipe's name. Measured on 5,000 validation images of one run of airbench94.
RECIPE_THRESHOLDS = dict.fromkeys(("airbench84", "airbench94", "airbench95", "airbench96"), 1.0)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Return the margin of each row of probabilities, float32 (n, 10), as float32 (n,)."""
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(first - second)


def is_unsure(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return whether each image, float32 (n, 10), needs all views: its margin is too small."""
    if threshold is None:
        return np.ones(len(probabilities), bool)
    return margins(probabilities) < threshold


def find_threshold(project: ProjectPaths, run: Run) -> float | None:
    """Return a run's threshold; None means that all images need all views.

    It is fitted to the run's validation images. If there are none, or too few to measure it, it is
    the one of the run's recipe.

    Raises
    ------
    UserError
        If the validation probabilities are damaged, or the labels of the images are missing.
    """
    files = [run.probabilities_file("validation", views) for views in VIEWS]
    if all(file.exists() for file in files):
        plain, tta = (np.sort(read_probabilities(file), order="id") for file in files)
        if len(plain) >= FEWEST_IMAGES and np.array_equal(plain["id"], tta["id"]):
            labels = labels_of(project, plain["id"])
            return fit_threshold(plain["probabilities"], tta["probabilities"], labels)
    return recipe_threshold(run.read_recipe()[0])


def fit_threshold(plain: np.ndarray, tta: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the lowest threshold that costs little on labelled images.

    At this threshold and at each higher one, the images lose at most MOST_LOST of the accuracy
    that all views have, and LEAST_AGREEING of them get the class that all views give. None means
    that no threshold does that.

    Parameters
    ----------
    plain
        The probabilities of the images themselves, float32 (n, 10).
    tta
        Those of all views, float32 (n, 10).
    labels
        The right classes, int (n,).
    """
    margin, classes, tta_classes = margins(plain), plain.argmax(axis=1), tta.argmax(axis=1)
    gained = (tta_classes == labels).astype(int) - (classes == labels)
    differing = tta_classes != classes
    fits = [
        gained[margin >= threshold].sum() <= MOST_LOST * len(labels)
        and differing[margin >= threshold].sum() <= (1 - LEAST_AGREEING) * len(labels)
        for threshold in GRID
    ]
    lowest = max((index + 1 for index, fit in enumerate(fits) if not fit), default=0)
    return float(GRID[lowest]) if lowest < len(GRID) else None


def recipe_threshold(recipe: Recipe) -> float | None:
    """Return the threshold for runs of a recipe without validation images; None if unknown."""
    return RECIPE_THRESHOLDS.get(recipe.name)
