"""Proxy filtering: which images are chosen, when the proxy learns, killed and resumed runs."""

import copy
import math

import numpy as np
import pytest

from kaggle_cifar import models
from kaggle_cifar.recipes import ProxyFiltering
from kaggle_cifar.training import checkpoint, loop
from kaggle_cifar.training import train as train_module
from kaggle_cifar.training.filtering import ProxyFilter, hardest
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.state import build_state
from kaggle_cifar.training.train import train
from tests.helpers.results import result_of
from tests.helpers.small_data import small_airbench, small_airbench97
from tests.training.conftest import OPTIONS

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.int32) % 10
WEIGHTS = (1 + np.arange(20, dtype=np.float32)) / 210  # each names its image
RATE = 0.5


def arrays_of(learner):
    return [array for group in learner.arrays().values() for array in group]


def new_filter(**changes):
    """Return the recipe, the state and the filter of a training without resizing."""
    import tensorflow as tf

    recipe = small_airbench97(progressive_resizing=None, mixed_precision=False, **changes)
    state = build_state(recipe, 0, PIXELS, "float32")
    state.proxy.optimizer.learning_rate = RATE
    strategy = tf.distribute.get_strategy()
    return recipe, state, ProxyFilter(state.proxy, recipe, recipe.filtering, strategy, 32)


def proxy_losses(model):
    """Return the smoothed losses of a network in training, written out in NumPy."""
    logits = np.asarray(model(PIXELS, training=True)).astype(float)
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -((np.eye(10)[LABELS] * 0.8 + 0.02) * logs).sum(axis=1)


@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.3, 3), (0.99, 7), (1e-6, 1)])
def test_hardest_are_the_highest_losses(share, count):
    losses = np.array([3, 1, 4, 1.5, 9, 2, 6], np.float32)
    chosen = np.asarray(hardest(losses, share))
    assert set(chosen) == set(np.argsort(losses)[-count:])
    assert ProxyFiltering({}, share=share).count(7) == count == len(chosen)


def test_filter_chooses_by_the_losses_of_the_proxy():
    _, state, chooser = new_filter()
    expected = np.argsort(proxy_losses(state.proxy.model))[-10:]
    for step in (1, 0):  # without and with a step of the proxy, which comes after the choice
        pixels, labels, weights = (
            np.asarray(part) for part in chooser.choose((PIXELS, LABELS, WEIGHTS), step)
        )
        chosen = (weights * 210).round().astype(int) - 1
        assert set(chosen) == set(expected)
        np.testing.assert_array_equal(pixels, PIXELS[chosen])
        np.testing.assert_array_equal(labels, LABELS[chosen])


def test_proxy_learns_from_the_chosen_images():
    import tensorflow as tf

    _, state, chooser = new_filter()
    model = state.proxy.model
    before = [np.array(variable) for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        outputs = model(PIXELS, training=True)
        targets = np.eye(10, dtype=np.float32)[LABELS] * 0.8 + 0.02
        losses = -tf.reduce_sum(targets * tf.nn.log_softmax(outputs), axis=1)
        mask = np.isin(np.arange(20), np.argsort(losses)[-10:]).astype(np.float32)
        loss = tf.reduce_sum(losses * WEIGHTS * mask)  # normalized over all 20
    gradients = tape.gradient(loss, model.trainable_variables)
    chooser.choose((PIXELS, LABELS, WEIGHTS), 0)
    for variable, value, gradient in zip(model.trainable_variables, before, gradients, strict=True):
        if variable.path == "whitening/bias":
            np.testing.assert_array_equal(variable, value)
            continue
        factor = 64 if variable.name == "beta" else 1
        decayed = gradient + 1.33e-3 / factor * value
        first_step = RATE * factor * (1 + 0.85) * decayed  # Nesterov momentum, from zero
        np.testing.assert_allclose(variable, value - first_step, rtol=1e-4, atol=1e-6)


def test_proxy_learns_in_every_third_step(project, monkeypatch):
    moved, update = [], loop.Training.update

    def watched_update(self, *args):
        before = copy.deepcopy(self.state.proxy.model.trainable_variables[-1].numpy())
        totals = update(self, *args)
        moved.append((before != self.state.proxy.model.trainable_variables[-1].numpy()).any())
        return totals

    monkeypatch.setattr(loop.Training, "update", watched_update)
    run = train(project, small_airbench97(), "every-third", OPTIONS)
    assert moved == [step % 3 == 0 for step in range(14)]
    assert run.finished


def test_network_learns_from_the_chosen_images_only(project, monkeypatch):
    batches, compile_step = [], loop.compile_train_step

    def compile_watched(*args):
        step = compile_step(*args)

        def watched(batch, totals):
            batches.append([np.asarray(part) for part in batch])
            return step(batch, totals)

        return watched

    monkeypatch.setattr(loop, "compile_train_step", compile_watched)
    run = train(project, small_airbench97(epochs=1), "half", OPTIONS)
    assert [len(labels) for _, labels, _ in batches] == [5] * 4
    for _, _, weights in batches:  # as in a whole batch of ten
        np.testing.assert_allclose(weights, 0.1)
    [row] = run.read_history()
    assert 0 < row["loss"] < 10 and 0 <= row["accuracy"] <= 1
    assert row["accuracy"] * 20 == pytest.approx(round(row["accuracy"] * 20))


def test_filtering_leaves_the_first_weights_alone():
    filtered, plain = (
        build_state(recipe, 0, PIXELS, "float32")
        for recipe in (small_airbench97(), small_airbench())
    )
    for value, expected in zip(arrays_of(filtered), arrays_of(plain), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.fixture(scope="module")
def undisturbed(project):
    return train(project, small_airbench97(), "undisturbed-97", OPTIONS)


def test_killed_filtered_run_ends_as_an_undisturbed_one(undisturbed, train_through_kills):
    savings = (2, 3, 2, 2, 4, 3)  # of 18 in all
    run = train_through_kills(small_airbench97(), "killed-97", savings)
    assert result_of(run) == result_of(undisturbed)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_filtered_run_resumes_in_16_bits(project, monkeypatch, train_and_kill, policy):
    monkeypatch.setattr(train_module, "dtype_policy", lambda _: policy)
    whole = train(project, small_airbench97(epochs=2), f"whole-{policy}", OPTIONS)
    run = train_and_kill(small_airbench97(epochs=2), f"killed-{policy}")
    _, arrays = checkpoint.load_checkpoint(run.checkpoint_file)
    assert ("proxy_loss_scale" in arrays) == (policy == "mixed_float16")
    resumed = train(project, small_airbench97(epochs=2), run.name, OPTIONS)
    assert result_of(resumed) == result_of(whole)


def test_petaflop_counts_the_proxy_and_small_images(project, monkeypatch):
    proxy_size = models.build("airbench", {"widths": [4, 4, 4]}).count_params()

    def flops(model, size):
        whole = 1e11 if model.count_params() == proxy_size else 1e12
        return int(whole * (0.6 if size == 24 else 1))

    monkeypatch.setattr(models, "flops", flops)
    run = train(project, small_airbench97(), "petaflop-97", OPTIONS)
    network = 3 * 5 * (5 * 0.6 + 9)
    proxy_passes = [3 if step % 3 == 0 else 1 for step in range(14)]
    proxy = 10 * 0.1 * (0.6 * sum(proxy_passes[:5]) + sum(proxy_passes[5:]))
    assert run.read_metrics()["petaflop"] == pytest.approx((network + proxy) / 1e3)


def test_time_budget_fits_a_filtered_run(project):
    options = RunOptions(seed=3, time_budget=120.0)
    recipe = small_airbench97(epochs=2)
    run = train(project, recipe, "budgeted-97", options)
    assert run.read_recipe()[0].epochs == 2
    plain = train(project, recipe, "unbudgeted-97", OPTIONS)
    assert result_of(run) == result_of(plain)
    assert math.isfinite(run.read_metrics()["validation_loss"])
