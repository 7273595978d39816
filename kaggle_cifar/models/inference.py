"""A network's forward pass with test-time augmentation, and probabilities on disk."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.console import counted
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import RESTORE, write_bytes
from kaggle_cifar.models import gives_logits
from kaggle_cifar.ownership import regular_file

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PROBABILITIES = np.dtype([("id", np.int64), ("probabilities", np.float32, (len(CLASS_NAMES),))])
VIEWS = ("plain", "tta")  # the image itself, or test-time augmentation
PLAIN_WEIGHT = 0.25  # of the image itself in test-time augmentation
SMALLEST = 1e-30  # probability: its logarithm is finite in float32

Forward = Callable[["np.ndarray"], "tf.Tensor"]


class NotProbabilitiesError(UserError):
    """Rows are not probabilities; `path` is their file, `count` the number of such rows."""

    def __init__(self, path: Path, count: int, remedy: str) -> None:
        super().__init__(f"{path} has {counted(count, 'row')} without probabilities. {remedy}")
        self.path, self.count = path, count


class UnreadableProbabilitiesError(UserError):
    """A file is corrupt or holds something else than probabilities; `path` is the file."""

    def __init__(self, path: Path, reason: object, remedy: str) -> None:
        super().__init__(f"{path} does not hold probabilities ({reason}). {remedy}")
        self.path = path


def compile_forward(model: "keras.Model", views: str = "plain") -> Forward:
    """Return the compiled function from pixels to probabilities.

    It takes uint8 (batch, 32, 32, 3) and returns float32 (batch, 10). The views "tta" are
    airbench's test-time augmentation (arXiv 2404.00498): the image, the image translated by a
    pixel to the upper left and to the lower right, and the mirror image of each. Their logits are
    averaged. The views "augmented" are all of these but the image itself.
    """
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)])
    def forward(pixels: tf.Tensor) -> tf.Tensor:
        if views == "plain":
            return to_probabilities(model, model(pixels, training=False))
        chosen = list(tta_views(pixels))
        if views == "augmented":
            chosen = [(weight / (1 - PLAIN_WEIGHT), view) for weight, view in chosen[1:]]
        logits = [
            weight * log_probabilities(model, model(view, training=False))
            for weight, view in chosen
        ]
        return tf.nn.softmax(tf.add_n(logits))

    return cast(Forward, forward)


def tta_views(pixels: "tf.Tensor") -> Iterator[tuple[float, "tf.Tensor"]]:
    """Yield each view of test-time augmentation with its weight, the image itself first."""
    import tensorflow as tf

    padded = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
    shifted = (1 - 2 * PLAIN_WEIGHT) / 4
    for weight, view in (
        (PLAIN_WEIGHT, pixels),
        (shifted, padded[:, :-2, :-2]),
        (shifted, padded[:, 2:, 2:]),
    ):
        yield weight, view
        yield weight, tf.reverse(view, axis=[2])


def merge_views(plain: np.ndarray, augmented: np.ndarray) -> np.ndarray:
    """Return the probabilities of the views "tta" from those of "plain" and "augmented".

    All are float32 (n, 10). They differ from those of one forward pass only by rounding.
    """
    smallest = np.float32(SMALLEST)
    logits = PLAIN_WEIGHT * np.log(np.maximum(plain, smallest))
    logits += (1 - PLAIN_WEIGHT) * np.log(np.maximum(augmented, smallest))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def log_probabilities(model: "keras.Model", outputs: "tf.Tensor") -> "tf.Tensor":
    """Return the logarithms of the probabilities that a network's outputs mean."""
    import tensorflow as tf

    if gives_logits(model):
        return tf.nn.log_softmax(outputs)
    return tf.math.log(tf.maximum(outputs, SMALLEST))


def to_probabilities(model: "keras.Model", outputs: "tf.Tensor") -> "tf.Tensor":
    """Return the outputs of a network as probabilities float32 (batch, 10)."""
    import tensorflow as tf

    return tf.nn.softmax(outputs) if gives_logits(model) else outputs


def require_probabilities(probabilities: np.ndarray, path: Path, remedy: str = RESTORE) -> None:
    """Raise a NotProbabilitiesError that names `path` unless all rows, float32 (n, 10), are."""
    sums = probabilities.sum(axis=-1)
    wrong = ~(np.abs(sums - 1) < 0.01) | (probabilities < 0).any(axis=-1)  # true for a NaN, too
    if wrong.any():
        raise NotProbabilitiesError(path, int(wrong.sum()), remedy)


def write_probabilities(path: Path, ids: np.ndarray, probabilities: np.ndarray) -> None:
    """Write ids int64 (n,) and probabilities float32 (n, 10) as one structured array."""
    rows = np.empty(len(ids), PROBABILITIES)
    rows["id"], rows["probabilities"] = ids, probabilities
    write_array(path, rows)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array to `path` in NumPy's format, atomically."""
    buffer = io.BytesIO()  # np.save to a file does not report a full disk
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())


def read_probabilities(path: Path, remedy: str = RESTORE) -> np.ndarray:
    """Return the structured array (n,) of `id` and `probabilities` at `path`, executing nothing.

    `remedy` is the sentence on what to do about a damaged file.

    Raises
    ------
    UnreadableProbabilitiesError
        When the file is corrupt or holds something else.
    NotProbabilitiesError
        When a row is not probabilities.
    """
    rows = read_array(path, PROBABILITIES, remedy=remedy)
    require_probabilities(rows["probabilities"], path, remedy)
    return rows


def read_array(
    path: Path, dtype: np.dtype, shape: tuple[int, ...] = (), remedy: str = RESTORE
) -> np.ndarray:
    """Return the array (n, *shape) of that type at `path`, executing nothing.

    Raises
    ------
    UnreadableProbabilitiesError
        When the file is corrupt or holds something else.
    """
    try:
        with regular_file(path).open("rb") as file:
            rows = np.lib.format.read_array(file, allow_pickle=False)
        if rows.dtype != dtype or not rows.ndim or rows.shape[1:] != shape:
            raise ValueError(f"it is {rows.dtype} {rows.shape}")
    except Exception as error:  # NumPy may raise nearly anything for a corrupt file
        raise UnreadableProbabilitiesError(path, error, remedy) from None
    return rows
