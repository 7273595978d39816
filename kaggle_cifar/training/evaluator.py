"""Evaluation of the network during and after training."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar.competition import IMAGE_SHAPE
from kaggle_cifar.data.dataset import TrainingSet
from kaggle_cifar.models.inference import compile_forward, to_probabilities
from kaggle_cifar.training.losses import image_losses, regularization_loss

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 500  # images


class Evaluator:
    """Measures a network on labelled images."""

    def __init__(self, model: "keras.Model") -> None:
        import tensorflow as tf

        self._model = model
        pixels = tf.TensorSpec((None, *IMAGE_SHAPE), tf.uint8)
        labels = tf.TensorSpec((None,), tf.int32)

        @tf.function(autograph=False, input_signature=[pixels, labels])
        def evaluate_step(pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outputs = model(pixels, training=False)
            return image_losses(model, labels, outputs), to_probabilities(model, outputs)

        self._step: Any = evaluate_step

    def evaluate(self, data: TrainingSet) -> tuple[float, np.ndarray]:
        """Return the mean loss and the probabilities float32 (n, 10).

        The loss includes regularization.
        """
        losses, probabilities = [], []
        for start in range(0, len(data), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            batch = self._step(data.pixels[rows], data.labels[rows])
            losses.append(np.asarray(batch[0]))
            probabilities.append(np.asarray(batch[1]))
        mean = float(np.concatenate(losses).mean(dtype=np.float64))
        return mean + float(regularization_loss(self._model)), np.concatenate(probabilities)

    def predict_with_tta(self, data: TrainingSet) -> np.ndarray:
        """Return the probabilities float32 (n, 10) by test-time augmentation."""
        forward = compile_forward(self._model, "tta")
        starts = range(0, len(data), BATCH_SIZE)
        parts = [forward(data.pixels[start : start + BATCH_SIZE]) for start in starts]
        return np.concatenate([np.asarray(part) for part in parts])


def accuracy_of(probabilities: np.ndarray, data: TrainingSet) -> float:
    """Return the share of images whose highest probability is at their label."""
    return float(np.mean(probabilities.argmax(axis=1) == data.labels))
