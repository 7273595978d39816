"""Progressive resizing: the interpolation, the sizes over the steps, networks that refuse."""

import numpy as np
import pytest
from PIL import Image

from kaggle_cifar.models import NetworkError
from kaggle_cifar.recipes import ProgressiveResizing
from kaggle_cifar.training import loop
from kaggle_cifar.training.resizing import interpolation_weights, resize
from kaggle_cifar.training.train import train
from tests.helpers.small_data import small_airbench, small_airbench97
from tests.training.conftest import OPTIONS

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [8, 24, 31])
def test_resizing_is_bilinear_with_antialiasing(size):
    import tensorflow as tf

    resized = np.asarray(resize(tf.constant(PIXELS), size)).astype(int)
    exact = np.asarray(tf.image.resize(PIXELS, (size, size), "bilinear", antialias=True))
    assert np.abs(resized - exact).max() <= 0.5 + 1e-3
    for image, pixels in zip(resized, PIXELS, strict=True):
        other = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
        assert np.abs(image - np.asarray(other)).max() <= 1  # Pillow also rounds between the axes


def test_resizing_keeps_even_colours_and_symmetry():
    import tensorflow as tf

    even = np.full((1, 32, 32, 3), (0, 17, 255), np.uint8)
    np.testing.assert_array_equal(resize(tf.constant(even), 24), even[:, :24, :24])
    weights = interpolation_weights(32, 24)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-7)


def test_images_of_the_full_size_are_left_alone():
    assert resize(PIXELS, 32) is PIXELS


@pytest.mark.slow
def test_first_share_of_the_steps_has_small_images(project, monkeypatch):
    seen, train_step = [], loop.compile_train_step

    def compile_watched(*args):
        step, size = train_step(*args), args[-1].image_size
        return lambda batch, totals: seen.append((size, batch[0].shape[1])) or step(batch, totals)

    monkeypatch.setattr(loop, "compile_train_step", compile_watched)
    train(project, small_airbench97(filtering=None), "sizes", OPTIONS)
    assert [size for size, _ in seen] == [24] * 5 + [32] * 9  # 5 / 14 is more than 0.35
    assert {side for _, side in seen} == {32}  # translated and cut out at full size


@pytest.mark.slow
def test_network_of_one_image_size_is_refused(project):
    recipe = small_airbench(
        network="model1",
        network_options={},
        whitening_bias_epochs=None,
        progressive_resizing=ProgressiveResizing(size=24, share=0.5),
    )
    with pytest.raises(NetworkError) as caught:
        train(project, recipe, "one-size", OPTIONS)
    assert (caught.value.network, caught.value.fault) == ("model1", "image size")
    assert not (project.runs / "one-size").exists()
