"""A note on a training that early stopping ended before its validation loss meant anything."""

from collections.abc import Mapping
from typing import Any

FEWEST_STEPS = 50  # of an epoch
EARLY = 2  # epochs in which the validation loss says little


def short_training_note(recipe: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return what to change if early stopping chose among epochs that say little, else "".

    `recipe` has the keys of a Recipe, `metrics` those of a finished run.
    """
    images, batch_size = metrics.get("train_images"), recipe.get("batch_size")
    best, epochs = metrics.get("best_epoch"), metrics.get("epochs", 0)
    if not (recipe.get("early_stopping") and images and batch_size and best):
        return ""
    steps = -(-images // batch_size)
    if steps >= FEWEST_STEPS and not best <= EARLY < epochs:
        return ""
    changes = [f"--set {key}=null" for key in ("early_stopping", "plateau") if recipe.get(key)]
    return (
        f"The weights are those of epoch {best} of {epochs}, and an epoch has {steps:,} steps. "
        "Early stopping compares validation losses, which say little during the first few hundred "
        "steps: the averages of batch normalization lag behind the weights. Train on more images, "
        f"or add `{' '.join(changes)}` and another `--name`."
    )
