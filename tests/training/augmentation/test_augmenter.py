"""The draws of a recipe's augmentation, and their order of application."""

import dataclasses

import numpy as np
import pytest

from kaggle_cifar.recipes import Augmentation, Mix
from kaggle_cifar.training.augmentation import geometry, mixing, policies
from kaggle_cifar.training.augmentation.augmenter import Augmenter

FILL = np.array([125, 122, 113], np.uint8)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.int32) % 10
PUBLISHED = Augmentation("random", 4, 16, edges="mean", cutout_overhang=True, policy="auto")
MIXED = dataclasses.replace(PUBLISHED, policy="trivial", mix=Mix("cutmix"))


def draws_of(augmentation, count=20):
    order = np.random.default_rng(1).permutation(count)
    return Augmenter(augmentation, 0, FILL).draw(np.random.default_rng(2), 0, order)


@pytest.mark.parametrize("augmentation", [PUBLISHED, MIXED], ids=["policy", "mixed"])
def test_new_draws_leave_the_earlier_ones_alone(augmentation):
    whole = draws_of(augmentation)
    without_mix = draws_of(dataclasses.replace(augmentation, mix=None))
    plain = draws_of(dataclasses.replace(augmentation, mix=None, policy=None))
    assert set(plain) == {"translations", "mirrored", "corners"}
    for earlier in (without_mix, plain):
        for name, values in earlier.items():
            np.testing.assert_array_equal(whole[name], values)


def test_policy_comes_first_and_mixing_last():
    draws = draws_of(MIXED)
    operations = (draws[name] for name in ("numbers", "magnitudes", "matrices"))
    expected = policies.apply_operations(PIXELS, *operations, FILL)
    moved = geometry.move_and_mirror(expected, draws["translations"], draws["mirrored"], FILL)
    erased = geometry.cut_out(moved, draws["corners"], 16, FILL)
    expected = mixing.cut_mix(erased, draws["starts"], draws["ends"])
    pixels, labels = Augmenter(MIXED, 0, FILL).apply(PIXELS, LABELS, draws)
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(labels, mixing.mix_labels(LABELS, draws["shares"]))


def test_overhanging_cutout_has_its_center_anywhere():
    corners = draws_of(PUBLISHED, 20_000)["corners"]
    assert (corners.min(), corners.max()) == (-8, 23)
    erased = np.asarray(geometry.cut_out(PIXELS, np.full((20, 2), 23, np.int32), 16, FILL))
    assert (erased == FILL).all(axis=3).sum() == 20 * 81
    whole = draws_of(dataclasses.replace(PUBLISHED, cutout_overhang=False), 20_000)["corners"]
    assert (whole.min(), whole.max()) == (0, 16)


@pytest.mark.parametrize(
    ("policy", "strength", "layers"), [("auto", None, 2), ("rand", 0.4, 2), ("trivial", None, 1)]
)
def test_each_policy_draws_its_operations(policy, strength, layers):
    draws = draws_of(Augmentation(policy=policy, policy_strength=strength), 500)
    assert draws["numbers"].shape == (500, layers)
    assert len(np.unique(draws["numbers"])) >= 10
    if policy == "rand":
        bright = draws["magnitudes"][draws["numbers"] == policies.NUMBERS["brightness"]]
        np.testing.assert_allclose(bright, 0.1 + 1.8 * 0.4, rtol=1e-6)
