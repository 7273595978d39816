"""Translation, mirroring and cutout compared with plain NumPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar.training.augmentation.geometry import cut_out, move_and_mirror, rectangles

FILL = np.array([1, 2, 3], np.uint8)


def random_images(count):
    rng = np.random.default_rng(0)
    return rng.integers(10, 256, (count, 32, 32, 3), dtype=np.uint8)


@settings(max_examples=20)
@given(
    translations=st.lists(
        st.tuples(st.integers(-31, 31), st.integers(-31, 31)), min_size=1, max_size=4
    ),
    flips=st.integers(0, 15),
    edges=st.sampled_from(["reflect", "constant"]),
)
def test_translation_shows_what_the_edges_say(translations, flips, edges):
    mirrored = np.array([bool(flips >> i & 1) for i in range(len(translations))])
    pixels = random_images(len(translations))
    fill = FILL if edges == "constant" else None
    moved = np.asarray(move_and_mirror(pixels, np.array(translations, np.int32), mirrored, fill))
    assert moved.shape == pixels.shape
    for image, mirror, (down, right), result in zip(
        pixels, mirrored, translations, moved, strict=True
    ):
        image = image[:, ::-1] if mirror else image
        padded = np.pad(image, ((31, 31), (31, 31), (0, 0)), edges)
        window = padded[31 + down : 63 + down, 31 + right : 63 + right]
        beyond = (window == 0).all(axis=2)  # no image is that dark
        expected = np.where(beyond[..., None], FILL, window)
        np.testing.assert_array_equal(result, expected)


@given(
    corners=st.lists(st.tuples(st.integers(-8, 31), st.integers(-8, 31)), min_size=1, max_size=4),
    size=st.integers(1, 16),
)
def test_cutout_fills_the_square_inside_the_image(corners, size):
    pixels = random_images(len(corners))
    results = np.asarray(cut_out(pixels, np.array(corners, np.int32), size, FILL))
    for image, (row, column), result in zip(pixels, corners, results, strict=True):
        expected = image.copy()
        rows, columns = (
            slice(max(row, 0), max(row + size, 0)),
            slice(max(column, 0), max(column + size, 0)),
        )
        expected[rows, columns] = FILL
        np.testing.assert_array_equal(result, expected)


def test_rectangle_without_pixels_is_empty():
    assert not np.asarray(rectangles(np.array([[3, 3]]), np.array([[3, 9]]))).any()
