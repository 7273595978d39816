"""MixUp and CutMix compared with plain NumPy, and the distribution of their draws."""

import numpy as np
import pytest

from kaggle_cifar.recipes import Mix
from kaggle_cifar.training.augmentation import mixing

COUNT = 9
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 3, 3, 5, 6, 7, 9], np.int32)


def draws_of(method, alpha=1.0, count=COUNT):
    return mixing.draw_mix(np.random.default_rng(1), Mix(method, alpha), count)


def test_mixup_is_the_weighted_sum():
    shares = draws_of("mixup")["shares"]
    mixed = np.asarray(mixing.mix_up(PIXELS, shares))
    assert mixed.dtype == np.uint8
    for i, (image, share) in enumerate(zip(mixed, shares, strict=True)):
        expected = share * PIXELS[i].astype(float) + (1 - share) * PIXELS[COUNT - 1 - i]
        assert np.abs(image - expected).max() <= 0.5 + 1e-4
    np.testing.assert_array_equal(mixed[COUNT // 2], PIXELS[COUNT // 2])  # its own partner


def test_cutmix_pastes_a_rectangle_of_its_share():
    draws = draws_of("cutmix")
    mixed = np.asarray(mixing.cut_mix(PIXELS, draws["starts"], draws["ends"]))
    for i, image in enumerate(mixed):
        (top, left), (bottom, right) = draws["starts"][i], draws["ends"][i]
        expected = PIXELS[i].copy()
        expected[top:bottom, left:right] = PIXELS[COUNT - 1 - i][top:bottom, left:right]
        np.testing.assert_array_equal(image, expected)
        pasted = (bottom - top) * (right - left) / 1024
        assert draws["shares"][i] == pytest.approx(1 - pasted)


@pytest.mark.parametrize("method", ["mixup", "cutmix"])
def test_mixed_labels_are_the_shares_of_the_classes(method):
    shares = draws_of(method)["shares"]
    labels = np.asarray(mixing.mix_labels(LABELS, shares))
    assert (labels.shape, labels.dtype) == ((COUNT, 10), np.float32)
    for i, share in enumerate(shares):
        expected = np.zeros(10)
        expected[LABELS[i]] += share
        expected[LABELS[COUNT - 1 - i]] += 1 - share
        np.testing.assert_allclose(labels[i], expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_of_mixup_have_a_beta_distribution(alpha):
    shares = draws_of("mixup", alpha, 100_000)["shares"]
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_rectangles_of_cutmix_are_cut_off_at_the_edges():
    draws = draws_of("cutmix", count=20_000)
    starts, ends, shares = draws["starts"], draws["ends"], draws["shares"]
    assert starts.min() == 0 and ends.max() == 32
    assert (ends >= starts).all() and ((shares >= 0) & (shares <= 1)).all()
    assert starts.dtype == ends.dtype == np.int32
    # Whole squares would keep half of the image on average; cut off, they keep more.
    assert 0.55 < shares.mean() < 0.75
