"""The sizes of wide residual networks, and what they take and give."""

import math

import numpy as np
import pytest

from kaggle_cifar import models


@pytest.mark.parametrize(
    ("depth", "width", "parameters", "multiplications"),
    # As published, in millions: arXiv 1605.07146 (parameters and multiplications).
    [(16, 8, 11.0, None), (28, 10, 36.5, 5_200), (40, 4, 8.9, None), (22, 8, 17.2, None)],
)
def test_network_has_the_published_size(depth, width, parameters, multiplications):
    network = models.build("wide_resnet", {"depth": depth, "width": width})
    count = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    assert count / 1e6 == pytest.approx(parameters, abs=0.05)
    if multiplications:
        assert models.flops(network) / 2e6 == pytest.approx(multiplications, rel=0.02)


def test_first_activation_of_a_wider_block_feeds_its_shortcut():
    network = models.build("wide_resnet", {"depth": 10, "width": 1})
    shortcuts = [layer for layer in network.layers if getattr(layer, "kernel_size", None) == (1, 1)]
    assert [layer.filters for layer in shortcuts] == [32, 64]
    for shortcut in shortcuts:
        assert "re_lu" in shortcut._inbound_nodes[0].parent_nodes[0].operation.name


def test_network_gives_logits_of_each_image():
    network = models.build("wide_resnet", {"depth": 10, "width": 1, "dropout": 0.3})
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    logits = network(pixels).numpy()
    assert logits.shape == (3, 10)
    np.testing.assert_allclose(network(pixels[1:2]).numpy()[0], logits[1], atol=1e-4)


@pytest.mark.parametrize("depth", [11, 4])
def test_impossible_depth_is_refused(depth):
    with pytest.raises(models.NetworkError) as caught:
        models.build("wide_resnet", {"depth": depth})
    assert caught.value.fault == "build"
