"""The losses of images with one label, and of mixed ones."""

import numpy as np
import pytest

from kaggle_cifar import models
from kaggle_cifar.training.losses import image_losses
from kaggle_cifar.training.step import main_classes

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 10)).astype(np.float32)
SHARES = RNG.dirichlet(np.ones(10), 6).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return models.build("airbench", {"widths": [4, 4, 4]})


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_of_mixed_labels_is_the_formula(model, smoothing):
    losses = np.asarray(image_losses(model, SHARES, LOGITS, smoothing))
    logs = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
    expected = -((SHARES * (1 - smoothing) + smoothing / 10) * logs).sum(axis=1)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_whole_share_is_a_label(model, smoothing):
    labels = np.array([3, 0, 9, 9, 1, 5], np.int32)
    shares = np.eye(10, dtype=np.float32)[labels]
    losses = (image_losses(model, values, LOGITS, smoothing) for values in (labels, shares))
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_main_class_has_the_largest_share():
    import tensorflow as tf

    labels = tf.constant([3, 0], tf.int32)
    assert main_classes(labels) is labels
    np.testing.assert_array_equal(main_classes(tf.constant(SHARES)), SHARES.argmax(axis=1))
