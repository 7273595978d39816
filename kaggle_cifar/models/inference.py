"""A network's forward pass, and probabilities on disk."""

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_bytes
from kaggle_cifar.models import gives_logits

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PROBABILITIES = np.dtype([("id", np.int64), ("probabilities", np.float32, (len(CLASS_NAMES),))])


# How an image is shown to the network: as it is, or in six views whose logits are averaged.
VIEWS = ("plain", "tta")
SMALLEST = 1e-30  # probability: its logarithm is finite in float32


def compile_forward(model: "keras.Model", views: str = "plain") -> Callable:
    """Return the compiled function from pixels to probabilities.

    It takes uint8 (batch, 32, 32, 3) and returns float32 (batch, 10). The views "tta" are those
    of airbench (arXiv 2404.00498): the image, moved by a pixel to the upper left and to the lower
    right, and the mirrored image of each.
    """
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)])
    def forward(pixels: tf.Tensor) -> tf.Tensor:
        if views == "plain":
            return to_probabilities(model, model(pixels, training=False))
        logits = [
            weight * _log_probabilities(model, model(view, training=False))
            for weight, view in _six_views(pixels)
        ]
        return tf.nn.softmax(tf.add_n(logits))

    return forward


def _six_views(pixels: "tf.Tensor") -> Iterator[tuple[float, "tf.Tensor"]]:
    """Yield each view of the images, with its weight."""
    import tensorflow as tf

    padded = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    for weight, view in ((0.25, pixels), (0.125, padded[:, :-2, :-2]), (0.125, padded[:, 2:, 2:])):
        yield weight, view
        yield weight, tf.reverse(view, axis=[2])


def _log_probabilities(model: "keras.Model", outputs: "tf.Tensor") -> "tf.Tensor":
    """Return logits up to a constant an image, which a softmax does not see."""
    import tensorflow as tf

    if gives_logits(model):
        return tf.nn.log_softmax(outputs)
    return tf.math.log(tf.maximum(outputs, SMALLEST))


def to_probabilities(model: "keras.Model", outputs: "tf.Tensor") -> "tf.Tensor":
    """Return the outputs of a network as probabilities float32 (batch, 10)."""
    import tensorflow as tf

    return tf.nn.softmax(outputs) if gives_logits(model) else outputs


class NotFiniteError(UserError):
    """Probabilities are NaN or infinite; `path` is the file that they come from."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(
            f"{path} gives {count:,} images probabilities that are not numbers. Restore it, or "
            "delete it and make it again."
        )
        self.path, self.count = path, count


def require_finite(probabilities: np.ndarray, path: Path) -> None:
    """Raise a NotFiniteError that names `path` unless all of float32 (n, 10) are numbers."""
    wrong = ~np.isfinite(probabilities).all(axis=-1)
    if wrong.any():
        raise NotFiniteError(path, int(wrong.sum()))


def write_probabilities(path: Path, ids: np.ndarray, probabilities: np.ndarray) -> None:
    """Write ids int64 (n,) and probabilities float32 (n, 10) as one structured array."""
    rows = np.empty(len(ids), PROBABILITIES)
    rows["id"], rows["probabilities"] = ids, probabilities
    write_array(path, rows)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array to `path` in NumPy's format, atomically."""
    buffer = io.BytesIO()  # NumPy's own writing to a file does not tell a full disk
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def standard_error(accuracy: float, count: int) -> float:
    """Return the standard error of an accuracy counted on `count` independent images."""
    return math.sqrt(accuracy * (1 - accuracy) / count)


def paired_difference(correct: np.ndarray, other_correct: np.ndarray) -> tuple[float, float]:
    """Return by how much the first guesses, bool (n,), are right more often; its standard error.

    Image by image: what is hard for both cancels out, so that less is left to chance.
    """
    gains = correct.astype(float) - other_correct
    return float(gains.mean()), float(gains.std()) / math.sqrt(len(gains))


def read_probabilities(path: Path) -> np.ndarray:
    """Return the structured array (n,) of `id` and `probabilities` that is kept at `path`.

    Raises
    ------
    UserError
        When the file is damaged, holds something else, or a probability that is not a number.
        Nothing in it is executed.
    """
    rows = read_array(path, PROBABILITIES)
    require_finite(rows["probabilities"], path)
    return rows


def read_array(path: Path, dtype: np.dtype, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Return the array (n, *shape) of that type that is kept at `path`.

    Raises
    ------
    UserError
        When the file is damaged or holds something else. Nothing in it is executed.
    """
    try:
        with path.open("rb") as file:
            rows = np.lib.format.read_array(file, allow_pickle=False)
        if rows.dtype != dtype or not rows.ndim or rows.shape[1:] != shape:
            raise ValueError(f"it is {rows.dtype} {rows.shape}")
    except Exception as error:  # damaged files make NumPy raise nearly everything
        raise UserError(
            f"{path} does not hold probabilities ({error}). Restore it. If they are of the test "
            "images, delete it and run `kaggle-cifar predict` again."
        ) from None
    return rows
