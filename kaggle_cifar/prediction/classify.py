"""Pictures to the probabilities of the ten classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.models.inference import compile_forward, require_probabilities
from kaggle_cifar.prediction.pictures import Picture
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.run import Run, how_to_replace

BATCH_SIZE = 500  # images
TOP = 5  # classes shown of an image
BAR = 40  # characters of a bar of probability 1


@dataclass(frozen=True)
class Classified:
    """A picture and the probability of each class."""

    picture: Picture
    probabilities: np.ndarray  # float32 (10,)

    @property
    def order(self) -> np.ndarray:
        """The class indices by falling probability."""
        return np.argsort(-self.probabilities, kind="stable")


def classify(run: Run, pictures: Sequence[Picture]) -> list[Classified]:
    """Return a run's probabilities of each picture, in the precision that `predict` uses.

    Raises
    ------
    UserError
        If the run is unfinished or damaged.
    """
    run.require_finished()
    start_tensorflow()
    forward = compile_forward(run.load_model())
    pixels = np.stack([picture.pixels for picture in pictures])
    parts = [
        np.asarray(forward(pixels[start : start + BATCH_SIZE]))
        for start in range(0, len(pixels), BATCH_SIZE)
    ]
    found = np.concatenate(parts)
    require_probabilities(found, run.weights_file, how_to_replace(run.weights_file))
    return [
        Classified(picture, probabilities)
        for picture, probabilities in zip(pictures, found, strict=True)
    ]


def as_lines(result: Classified) -> str:
    """Return a result for the terminal: the likeliest classes, each with a bar."""
    lines = [f"{result.picture.file} ({', '.join(result.picture.notes)})"]
    for index in result.order[:TOP]:
        probability = float(result.probabilities[index])
        bar = "#" * round(BAR * probability)
        lines.append(f"  {CLASS_NAMES[index]:<10}  {probability:.3f}  {bar}".rstrip())
    return "\n".join(lines)


def as_json(result: Classified) -> dict[str, Any]:
    """Return a result as JSON values."""
    return {
        "image": str(result.picture.file),
        "class": CLASS_NAMES[result.order[0]],
        "probabilities": {
            name: round(float(probability), 6)
            for name, probability in zip(CLASS_NAMES, result.probabilities, strict=True)
        },
        "notes": list(result.picture.notes),
    }
