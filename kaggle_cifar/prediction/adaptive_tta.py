"""Adaptive test-time augmentation: all views only for the images that the network is unsure of.

An image takes all views if its margin is below the run's threshold. The margin is the difference
between the two highest probabilities of the image itself.
"""

import numpy as np

from kaggle_cifar.models.inference import VIEWS, read_probabilities
from kaggle_cifar.recipes import Recipe
from kaggle_cifar.training.run import Run

MOST_DIFFERING = 0.0002  # share of images that may get another class than from all views
FEWEST_IMAGES = round(1 / MOST_DIFFERING)  # on fewer images, no share is as small as that
SAFETY = 0.05  # added to a fitted threshold, because other images may differ above it
GRID = np.arange(1001) / 1000  # the possible thresholds

# By the recipe's name. One run of airbench94, cut to 4 epochs, had 0.342 on fold1of10. The others
# have its loss and the same kind of network.
RECIPE_THRESHOLDS = dict.fromkeys(("airbench84", "airbench94", "airbench95", "airbench96"), 0.4)


def margins(probabilities: np.ndarray) -> np.ndarray:
    """Return the margin of each row of probabilities, float32 (n, 10), as float32 (n,)."""
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(first - second)


def is_unsure(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return whether each image, float32 (n, 10), needs all views: its margin is too small."""
    if threshold is None:
        return np.ones(len(probabilities), bool)
    return margins(probabilities) < threshold


def find_threshold(run: Run) -> float | None:
    """Return a run's threshold; None means that all images need all views.

    It is fitted to the run's validation images. If there are none, or too few to measure it, it is
    the one of the run's recipe.

    Raises
    ------
    UserError
        If the validation probabilities are damaged.
    """
    files = [run.probabilities_file("validation", views) for views in VIEWS]
    if all(file.exists() for file in files):
        plain, tta = (np.sort(read_probabilities(file), order="id") for file in files)
        if len(plain) >= FEWEST_IMAGES and np.array_equal(plain["id"], tta["id"]):
            return fit_threshold(plain["probabilities"], tta["probabilities"])
    return recipe_threshold(run.read_recipe()[0])


def fit_threshold(plain: np.ndarray, tta: np.ndarray) -> float | None:
    """Return a threshold at which nearly all images get the class that all views give.

    It is the lowest at which the share of the others, and so the loss of accuracy, is at most
    MOST_DIFFERING, plus SAFETY. None means that no threshold does that.

    Parameters
    ----------
    plain
        The probabilities of the images themselves, float32 (n, 10).
    tta
        Those of all views, float32 (n, 10).
    """
    differing = np.sort(margins(plain)[plain.argmax(axis=1) != tta.argmax(axis=1)])
    counts = len(differing) - np.searchsorted(differing, GRID)  # of margins from there on
    enough = GRID[counts <= MOST_DIFFERING * len(plain)]
    return round(float(enough[0]) + SAFETY, 3) if len(enough) else None


def recipe_threshold(recipe: Recipe) -> float | None:
    """Return the threshold for runs of a recipe without validation images; None if unknown."""
    return RECIPE_THRESHOLDS.get(recipe.name)
