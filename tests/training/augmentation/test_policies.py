"""What the policies draw, and that each image gets its own operations."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from kaggle_cifar.training.augmentation import policies
from kaggle_cifar.training.augmentation.policies import NUMBERS

FILL = np.array([125, 122, 113], np.uint8)
AFFINE = Image.Transform.AFFINE
PILLOW = {  # after the authors' code for CIFAR-10: an image, a strength of 0 to 1, a sign
    "auto_contrast": lambda image, s, sign: ImageOps.autocontrast(image),
    "equalize": lambda image, s, sign: ImageOps.equalize(image),
    "invert": lambda image, s, sign: ImageOps.invert(image),
    "posterize": lambda image, s, sign: ImageOps.posterize(image, 4 - int(4 * s)),
    "solarize": lambda image, s, sign: ImageOps.solarize(image, 256 - int(256 * s)),
    "brightness": lambda image, s, sign: ImageEnhance.Brightness(image).enhance(1.8 * s + 0.1),
    "contrast": lambda image, s, sign: ImageEnhance.Contrast(image).enhance(1.8 * s + 0.1),
    "color": lambda image, s, sign: ImageEnhance.Color(image).enhance(1.8 * s + 0.1),
    "sharpness": lambda image, s, sign: ImageEnhance.Sharpness(image).enhance(1.8 * s + 0.1),
    "shear_x": lambda image, s, sign: moved(image, (1, 0.3 * s * sign, 0, 0, 1, 0)),
    "shear_y": lambda image, s, sign: moved(image, (1, 0, 0, 0.3 * s * sign, 1, 0)),
    "translate_x": lambda image, s, sign: moved(image, (1, 0, int(10 * s) * sign, 0, 1, 0)),
    "translate_y": lambda image, s, sign: moved(image, (1, 0, 0, 0, 1, int(10 * s) * sign)),
    "rotate": lambda image, s, sign: image.rotate(30 * s * sign, fillcolor=tuple(map(int, FILL))),
}


def moved(image, matrix):
    return image.transform((32, 32), AFFINE, matrix, fillcolor=tuple(map(int, FILL)))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)


def applied(images, draws):
    arrays = (draws.numbers, draws.magnitudes, draws.matrices)
    return policies.apply_operations(images, *arrays, FILL).numpy()


def possible_results(image, pair):
    """Return what a pair of operations can give by Pillow: each done or not, with either sign."""
    results = [Image.fromarray(image)]
    for name, probability, level in pair:
        changed = [PILLOW[name](r, level / 10, sign) for r in results for sign in (-1, 1)]
        results = changed if probability == 1 else results * (probability < 1) + changed
    return [np.asarray(result) for result in results]


def test_auto_augment_gives_what_pillow_gives(images, monkeypatch):
    for pair in policies.AUTO_AUGMENT:
        monkeypatch.setattr(policies, "AUTO_AUGMENT", (pair,))
        draws = policies.draw_auto_augment(np.random.default_rng(0), 10)
        for image, result in zip(images[:10], applied(images[:10], draws), strict=True):
            assert any((result == other).all() for other in possible_results(image, pair)), pair


def test_auto_augment_uses_its_probabilities():
    draws = policies.draw_auto_augment(np.random.default_rng(0), 100_000)
    expected = np.zeros((len(NUMBERS), 2))
    for pair in policies.AUTO_AUGMENT:
        for layer, (name, probability, _) in enumerate(pair):
            expected[NUMBERS[name], layer] += probability / len(policies.AUTO_AUGMENT)
            expected[0, layer] += (1 - probability) / len(policies.AUTO_AUGMENT)
    for layer in range(2):
        counts = np.bincount(draws.numbers[:, layer], minlength=len(NUMBERS))
        np.testing.assert_allclose(counts / 100_000, expected[:, layer], atol=0.005)


def test_rand_augment_draws_each_operation_at_its_strength(images):
    draws = policies.draw_rand_augment(np.random.default_rng(0), 70_000, 0.5)
    counts = np.bincount(draws.numbers.ravel(), minlength=len(policies.OTHERS) + 2)
    expected = np.full(len(counts), 1 / 14)
    expected[NUMBERS["invert"]], expected[policies.MOVE] = 0, 5 / 14
    np.testing.assert_allclose(counts / draws.numbers.size, expected, atol=0.005)
    bright = draws.magnitudes[draws.numbers == NUMBERS["brightness"]]
    np.testing.assert_allclose(bright, 1.0)


def test_trivial_augment_draws_all_strengths(images):
    draws = policies.draw_trivial_augment(np.random.default_rng(0), 50_000)
    assert draws.numbers.shape == (50_000, 1)
    colors = draws.magnitudes[draws.numbers == NUMBERS["color"]]
    assert (colors.min(), colors.max()) == pytest.approx((0.01, 1.99))
    bits = draws.magnitudes[draws.numbers == NUMBERS["posterize"]]
    assert set(bits) == set(range(2, 9))
    changed = applied(images, policies.draw_trivial_augment(np.random.default_rng(1), len(images)))
    assert changed.shape == images.shape


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "identity"])
def test_operations_change_only_their_images(images, name):
    names = np.full((len(images), 1), "identity", dtype="<U16")
    names[::3] = name
    rng = np.random.default_rng(0)
    changed = applied(images, policies._narrow_draws(rng, names, np.full(names.shape, 0.7)))
    same = (changed == images).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(same[1::3], True)
    np.testing.assert_array_equal(same[2::3], True)
    if name not in ("auto_contrast",):  # noise has all values already
        assert not same[::3].any()
