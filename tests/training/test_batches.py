"""Batches of whole and resumed epochs, and what is drawn for them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import recipes
from kaggle_cifar.data.dataset import TrainingSet
from kaggle_cifar.recipes import Augmentation, Mix
from kaggle_cifar.training.batches import BatchSource, pad_batch

ALTERNATING = Augmentation(flip="alternating")
EVERYTHING = Augmentation(flip="alternating", translate=3, cutout=9)
POLICY = Augmentation(
    flip="random", translate=4, cutout=16, edges="mean", cutout_overhang=True, policy="auto"
)
MIXED = Augmentation(policy="rand", policy_strength=0.3, mix=Mix("cutmix"))


def random_images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def training_set(count):
    """Return images whose labels are their row numbers, so that batches can be checked."""
    return TrainingSet(np.arange(count), np.arange(count, dtype=np.int32), random_images(count))


def source_of(data, batch_size, seed=0, **changes):
    recipe = dataclasses.replace(recipes.model1(), batch_size=batch_size, **changes)
    return BatchSource(data, recipe, seed)


def epoch_of(source, epoch, first_step=0):
    batches = source.batches(epoch, first_step, source.steps).as_numpy_iterator()
    return [tuple(np.copy(part) for part in batch) for batch in batches]


def assert_equal_batches(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        for part, other_part in zip(batch, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


@settings(max_examples=12)
@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    epoch=st.integers(0, 3),
    first_step=st.integers(0, 3),
    drop_last=st.booleans(),
    augmentation=st.sampled_from([None, EVERYTHING, POLICY]),
)
def test_epoch_resumes_at_any_step(count, batch_size, epoch, first_step, drop_last, augmentation):
    data = training_set(count)
    settings = {"drop_last": drop_last, "augmentation": augmentation}
    source = source_of(data, batch_size, **settings)
    whole = epoch_of(source, epoch)
    assert len(whole) == source.steps
    first_step = min(first_step, source.steps)
    resumed = epoch_of(source_of(data, batch_size, **settings), epoch, first_step)
    assert_equal_batches(resumed, whole[first_step:])

    rows = np.concatenate([labels for _, labels, _ in whole])
    assert len(set(rows)) == len(rows) == source.images(source.steps)
    left_out = count % min(batch_size, count) if drop_last else 0
    assert len(rows) == count - left_out
    for images, labels, weights in whole:
        assert images.dtype == np.uint8
        np.testing.assert_allclose(weights, 1 / len(labels), rtol=1e-6)
        if augmentation is None:
            np.testing.assert_array_equal(images, data.pixels[labels])
        if drop_last:
            assert len(labels) == min(batch_size, count)


def test_epochs_and_seeds_draw_differently():
    data = training_set(30)

    def draw(seed, epoch):
        batches = epoch_of(source_of(data, 30, seed, augmentation=EVERYTHING), epoch)
        return batches[0][1].tobytes(), batches[0][0].tobytes()

    draws = [draw(seed, epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    for part in zip(*draws, strict=True):
        assert len(set(part)) == len(draws)
    assert draw(1, 2) == draws[-1]


def test_cutouts_have_the_mean_colour_and_any_position():
    data = training_set(300)
    mean = data.pixels.mean(axis=(0, 1, 2)).round().astype(np.uint8)
    [(images, rows, _)] = epoch_of(source_of(data, 300, augmentation=Augmentation(cutout=30)), 0)
    places = set()
    for image, original in zip(images, data.pixels[rows], strict=True):
        changed = np.argwhere((image != original).any(axis=2))
        (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0) + 1
        # A single pixel may have the mean colour, but not a line of 30.
        assert (bottom - top, right - left) == (30, 30)
        np.testing.assert_array_equal(
            image[top:bottom, left:right], np.broadcast_to(mean, (30, 30, 3))
        )
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(3)}


def mirrored_rows(data, source, epoch):
    """Return whether an epoch mirrors each image; images must not differ in another way."""
    [(images, rows, _)] = epoch_of(source, epoch)
    mirrored = np.empty(len(rows), bool)
    for image, row in zip(images, rows, strict=True):
        mirrored[row] = (image == data.pixels[row][:, ::-1]).all()
        assert mirrored[row] or (image == data.pixels[row]).all()
    return mirrored


def test_alternating_flip_mirrors_every_second_epoch():
    data = training_set(400)
    source = source_of(data, 400, augmentation=ALTERNATING)
    epochs = [mirrored_rows(data, source, epoch) for epoch in range(4)]
    assert 150 < epochs[0].sum() < 250
    np.testing.assert_array_equal(epochs[1], ~epochs[0])
    np.testing.assert_array_equal(epochs[2], epochs[0])
    np.testing.assert_array_equal(epochs[3], ~epochs[0])
    other = source_of(data, 400, seed=1, augmentation=ALTERNATING)
    assert (mirrored_rows(data, other, 0) != epochs[0]).any()


@pytest.mark.parametrize(("flip", "least", "most"), [("random", 150, 250), ("none", 0, 0)])
def test_random_flip_mirrors_half_of_the_images(flip, least, most):
    data = training_set(400)
    source = source_of(data, 400, augmentation=Augmentation(flip=flip))
    epochs = [mirrored_rows(data, source, epoch) for epoch in range(2)]
    assert all(least <= mirrored.sum() <= most for mirrored in epochs)
    if flip == "random":
        assert 100 < (epochs[0] == epochs[1]).sum() < 300  # independent


def test_translation_reaches_its_limit_everywhere():
    data = training_set(200)
    [(images, rows, _)] = epoch_of(source_of(data, 200, augmentation=Augmentation(translate=1)), 0)
    seen = set()
    for image, original in zip(images, data.pixels[rows], strict=True):
        padded = np.pad(original, ((1, 1), (1, 1), (0, 0)), "reflect")
        windows = {
            (down, right): padded[1 + down : 33 + down, 1 + right : 33 + right]
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        }
        seen |= {translate for translate, window in windows.items() if (window == image).all()}
    assert len(seen) == 9


def test_input_is_not_autotuned():
    # The tuning thread can delay the end of an epoch by as long as it ran.
    source = source_of(training_set(8), batch_size=4)
    assert source.batches(0, 0, 2).options().autotune.enabled is False


def older_draws(seed, epoch, count, augmentation):
    """Return the draws of an epoch as every recipe without a policy or mixing has had them."""
    rng = np.random.default_rng((seed, epoch))
    order, limit = rng.permutation(count), augmentation.translate
    translations = rng.integers(-limit, limit, (count, 2), endpoint=True)
    corners = rng.integers(0, 32 - augmentation.cutout, (count, 2), endpoint=True)
    mirrored = rng.random(count) < 0.5
    if augmentation.flip == "alternating":
        mirrored = ((np.random.default_rng(seed).random(count) < 0.5) ^ (epoch % 2 == 1))[order]
    return order, translations, corners, mirrored


OLDER = ("airbench84", "airbench94", "airbench95", "airbench96", "airbench97")


@pytest.mark.parametrize("name", OLDER)
@pytest.mark.parametrize("epoch", [0, 3])
def test_batches_of_older_recipes_stay_the_same(name, epoch):
    data, recipe = training_set(20), recipes.RECIPES[name]()
    augmentation = recipe.augmentation
    order, translations, corners, mirrored = older_draws(5, epoch, 20, augmentation)
    mean, size = data.pixels.mean(axis=(0, 1, 2)).round(), augmentation.cutout
    [(images, rows, _)] = epoch_of(source_of(data, 20, seed=5, augmentation=augmentation), epoch)
    np.testing.assert_array_equal(rows, order)
    draws = zip(images, order, translations, corners, mirrored, strict=True)
    for image, row, (down, right), (top, left), mirror in draws:
        expected = data.pixels[row][:, ::-1] if mirror else data.pixels[row]
        padded = np.pad(expected, ((4, 4), (4, 4), (0, 0)), "reflect")
        expected = padded[4 + down : 36 + down, 4 + right : 36 + right].copy()
        expected[top : top + size, left : left + size] = mean
        np.testing.assert_array_equal(image, expected)


def test_mixed_batches_resume_at_any_step():
    data = TrainingSet(np.arange(25), np.arange(25, dtype=np.int32) % 10, random_images(25))
    whole = epoch_of(source_of(data, 8, augmentation=MIXED), 2)
    assert [labels.shape for _, labels, _ in whole] == [(8, 10), (8, 10), (8, 10), (1, 10)]
    for first_step in range(4):
        resumed = epoch_of(source_of(data, 8, augmentation=MIXED), 2, first_step)
        assert_equal_batches(resumed, whole[first_step:])


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("count", [1, 4, 5])
def test_padded_batch_divides_among_the_devices(count, mixed):
    pixels = random_images(count)
    labels = np.eye(10, dtype=np.float32)[:count] if mixed else np.arange(count, dtype=np.int32)
    weights = np.full(count, 1 / count, np.float32)
    padded = [np.asarray(part) for part in pad_batch(pixels, labels, weights, 4)]
    size = -(-count // 4) * 4
    assert [len(part) for part in padded] == [size] * 3
    for part, own in zip(padded, (pixels, labels, weights), strict=True):
        np.testing.assert_array_equal(part[:count], own)
    np.testing.assert_array_equal(padded[2][count:], 0)
    np.testing.assert_array_equal(padded[0], pixels[np.arange(size) % count])
