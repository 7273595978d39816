"""Each operation compared with Pillow's."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from kaggle_cifar.training.augmentation import operations


@pytest.fixture(scope="module")
def images():
    """Noise, smooth pictures, pictures of few values and of one color."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    small = noise[:, :5, :5]
    smooth = [Image.fromarray(part).resize((32, 32), Image.Resampling.BICUBIC) for part in small]
    dark = (noise[:10] // 8 + 40).astype(np.uint8)
    few = (noise[:10] // 64 * 64).astype(np.uint8)
    plain = np.full((3, 32, 32, 3), 77, np.uint8)
    return np.concatenate([noise, np.stack(list(map(np.asarray, smooth))), dark, few, plain])


def enhancer(kind):
    return lambda image, factor: kind(image).enhance(factor)


@pytest.mark.parametrize(
    ("name", "pillow", "low", "high"),
    [
        ("invert", lambda image, _: ImageOps.invert(image), 0, 1),
        ("solarize", lambda image, threshold: ImageOps.solarize(image, threshold), 0, 256),
        ("brightness", enhancer(ImageEnhance.Brightness), 0, 2),
        ("contrast", enhancer(ImageEnhance.Contrast), 0, 2),
        ("color", enhancer(ImageEnhance.Color), 0, 2),
        ("sharpness", enhancer(ImageEnhance.Sharpness), 0, 2),
        ("auto_contrast", lambda image, _: ImageOps.autocontrast(image), 0, 1),
        ("equalize", lambda image, _: ImageOps.equalize(image), 0, 1),
        ("posterize", lambda image, bits: ImageOps.posterize(image, round(bits)), 1, 8),
    ],
)
def test_operation_equals_pillows(images, name, pillow, low, high):
    rng = np.random.default_rng(1)
    magnitudes = rng.uniform(low, high, len(images)).astype(np.float32)
    magnitudes[::5] = low
    magnitudes[1::5] = high
    if name == "posterize":
        magnitudes = np.round(magnitudes)
    changed = np.asarray(getattr(operations, name)(images, magnitudes))
    assert changed.dtype == np.uint8
    for image, magnitude, result in zip(images, magnitudes, changed, strict=True):
        expected = pillow(Image.fromarray(image), float(magnitude))
        np.testing.assert_array_equal(result, np.asarray(expected))


def test_transform_equals_pillows(images):
    rng = np.random.default_rng(2)
    matrices = np.tile(np.eye(2, 3), (len(images), 1, 1)) + rng.uniform(-1, 1, (len(images), 2, 3))
    matrices[:, :, 2] *= 20
    fill = np.array([120, 110, 100], np.uint8)
    changed = operations.transform(images, operations.affine_matrices(matrices), fill).numpy()
    for image, matrix, result in zip(images, matrices, changed, strict=True):
        picture = Image.fromarray(image)
        data = tuple(matrix.ravel())
        affine = Image.Transform.AFFINE
        expected = picture.transform((32, 32), affine, data, fillcolor=tuple(map(int, fill)))
        np.testing.assert_array_equal(result, np.asarray(expected))
