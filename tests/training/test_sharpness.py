"""SAM and ASAM against their definitions, what the second pass leaves alone, resumed runs."""

import dataclasses

import numpy as np
import pytest

from kaggle_cifar import models
from kaggle_cifar.recipes import Phase, Sharpness
from kaggle_cifar.training import loop, time_budget
from kaggle_cifar.training import train as train_module
from kaggle_cifar.training.batches import BatchSource
from kaggle_cifar.training.cost import count_flops
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.sharpness import sharp_gradients
from kaggle_cifar.training.state import build_state
from kaggle_cifar.training.step import compile_train_step
from kaggle_cifar.training.train import train
from tests.helpers.results import result_of
from tests.helpers.small_data import small_airbench, small_airbench97
from tests.training.conftest import OPTIONS
from tests.training.test_batches import training_set

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.int32) % 10
WEIGHTS = np.full(20, 1 / 20, np.float32)
RATE = 0.1
SAM, ASAM = Sharpness(0.5), Sharpness(2.0, adaptive=True)
BOTH = pytest.mark.parametrize("sharpness", [SAM, ASAM], ids=["sam", "asam"])


def place_of(weights, gradients, sharpness):
    """Return the perturbed weights, written out in NumPy."""
    scales = [np.abs(w) if sharpness.adaptive else np.ones_like(w) for w in weights]
    norm = np.sqrt(sum(((s * g) ** 2).sum() for s, g in zip(scales, gradients, strict=True)))
    parts = zip(weights, scales, gradients, strict=True)
    return [w + sharpness.rho * s**2 * g / norm for w, s, g in parts]


@BOTH
@pytest.mark.parametrize("scale", [1.0, 1e25])  # the norm of the scaled gradients overflows
def test_gradients_of_a_quadratic_are_those_of_the_definition(sharpness, scale):
    import keras
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    inputs, targets = RNG.normal(size=(6, 4)).astype(np.float32), RNG.normal(size=(6, 3))
    weights = [RNG.normal(size=shape).astype(np.float32) for shape in ((4, 3), (3,))]
    model.set_weights(weights)

    def gradients_at(kernel, bias):
        errors = inputs @ kernel + bias - targets
        return [inputs.T @ errors, errors.sum(axis=0)]

    def loss_of(outputs, penalty):
        losses = tf.reduce_sum((outputs - targets.astype(np.float32)) ** 2, axis=1) / 2
        return scale * (tf.reduce_sum(losses) + penalty), losses

    first = [tf.constant(scale * g, tf.float32) for g in gradients_at(*weights)]
    arguments = (model, inputs, model.trainable_variables, first, tf.constant(scale))
    found = sharp_gradients(*arguments, sharpness, loss_of)
    expected = gradients_at(*place_of(weights, gradients_at(*weights), sharpness))
    for gradient, other, weight, variable in zip(
        found, expected, weights, model.variables, strict=True
    ):
        np.testing.assert_allclose(gradient / scale, other, rtol=1e-4)
        np.testing.assert_array_equal(variable, weight)


def new_step(sharpness, policy="float32", **changes):
    """Return the state of a training and its step."""
    import tensorflow as tf

    recipe = small_airbench(lookahead=None, whitening_bias_epochs=None, **changes)
    state = build_state(recipe, 0, PIXELS, policy)
    state.optimizer.learning_rate = RATE
    phase, strategy = Phase(32, sharpness), tf.distribute.get_strategy()
    variables = state.model.trainable_variables
    step = compile_train_step(state.model, state.optimizer, recipe, strategy, variables, phase)
    return state, lambda: step((PIXELS, LABELS, WEIGHTS), np.zeros(3, np.float32))


def arrays_of(variables):
    return [np.array(variable) for variable in variables]


def gradients_here(model):
    import tensorflow as tf

    targets = np.eye(10, dtype=np.float32)[LABELS] * 0.8 + 0.02
    with tf.GradientTape() as tape:
        logs = tf.nn.log_softmax(model(PIXELS, training=True))
        loss = -tf.reduce_mean(tf.reduce_sum(targets * logs, axis=1))
    return arrays_of(tape.gradient(loss, model.trainable_variables))


@BOTH
def test_step_uses_the_gradients_at_the_perturbed_weights(sharpness):
    state, step = new_step(sharpness)
    variables = state.model.trainable_variables
    before = arrays_of(variables)
    copy, _ = new_step(None)
    places = place_of(before, gradients_here(copy.model), sharpness)
    for variable, place in zip(copy.model.trainable_variables, places, strict=True):
        variable.assign(place)
    gradients = gradients_here(copy.model)
    step()
    moved = 0.0
    for variable, value, gradient in zip(variables, before, gradients, strict=True):
        factor = 64 if variable.name == "beta" else 1
        direction = (1 + 0.85) * (gradient + 1.33e-3 / factor * value)
        expected = value - RATE * factor * direction
        np.testing.assert_allclose(variable, expected, rtol=1e-3, atol=1e-5)
        moved += np.abs(np.array(variable) - value).sum()
    assert moved > 1


@BOTH
def test_second_pass_does_not_move_the_statistics(sharpness):
    states, totals = [], []
    for phase_sharpness in (None, sharpness):
        state, step = new_step(phase_sharpness)
        totals.append(np.asarray(step()))
        states.append(state)
    plain, sharp = (state.model for state in states)
    np.testing.assert_array_equal(*totals)  # loss and accuracy are those of the first pass
    statistics = [arrays_of(model.non_trainable_variables) for model in (plain, sharp)]
    assert len(statistics[0]) > 6
    for value, other in zip(*statistics, strict=True):
        np.testing.assert_array_equal(value, other)
    weights = zip(*(arrays_of(model.trainable_variables) for model in (plain, sharp)), strict=True)
    assert any((value != other).any() for value, other in weights)


@BOTH
def test_overflow_in_the_first_pass_skips_the_step(sharpness):
    state, step = new_step(sharpness, "mixed_float16")
    before = arrays_of(state.model.trainable_variables)
    state.optimizer.dynamic_scale.assign(3e38)
    step()
    for variable, value in zip(state.model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert float(state.optimizer.dynamic_scale) == pytest.approx(1.5e38)
    state.optimizer.dynamic_scale.assign(256)
    step()
    after = arrays_of(state.model.trainable_variables)
    assert all(np.isfinite(value).all() for value in after)
    assert any((value != other).any() for value, other in zip(after, before, strict=True))


def sharp97(**changes):
    """Return a recipe that resizes, filters and, from step 7 of 14 on, is sharpness-aware."""
    return small_airbench97(sharpness=Sharpness(1.0, adaptive=True, start=0.5), **changes)


def test_killed_sharp_run_ends_as_an_undisturbed_one(project, monkeypatch, train_through_kills):
    phases, compile_step = [], loop.Training.compile_step

    def watched(self, phase=None):
        compile_step(self, phase)
        phases.append(self.phase)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "compile_step", watched)
        undisturbed = train(project, sharp97(), "undisturbed-sharp", OPTIONS)
    assert list(dict.fromkeys(phases)) == list(sharp97().phases)
    run = train_through_kills(sharp97(), "killed-sharp", (8, 4))  # within epochs two and three
    assert result_of(run) == result_of(undisturbed)


def test_sharp_run_resumes_in_float16(project, monkeypatch, train_and_kill):
    monkeypatch.setattr(train_module, "dtype_policy", lambda _: "mixed_float16")
    recipe = small_airbench(sharpness=SAM, epochs=2)
    whole = train(project, recipe, "whole-sharp", OPTIONS)
    run = train_and_kill(recipe, "killed-sharp-16")
    assert result_of(train(project, recipe, run.name, OPTIONS)) == result_of(whole)


def test_cost_counts_the_second_pass(monkeypatch):
    monkeypatch.setattr(models, "flops", lambda model, size: 1000 * size)
    recipe = small_airbench97(filtering=None, sharpness=Sharpness(1.0, start=0.5))
    state = build_state(recipe, 0, PIXELS, "float32")
    source = BatchSource(training_set(20), recipe, 0)  # two steps of ten an epoch
    plain = dataclasses.replace(recipe, sharpness=None)
    costs = [count_flops(r, state, source, 20, 20) for r in (plain, recipe)]
    assert costs == [3 * 10_000 * (7 * 24 + 13 * 32), 3 * 10_000 * (7 * 24 + 13 * 32 + 10 * 32)]


def test_time_budget_times_each_phase(project, monkeypatch):
    timed, time_steps = [], time_budget.time_steps_of_phase

    def watched(training, enough):
        timed.append(training.phase)
        return time_steps(training, enough)

    monkeypatch.setattr(time_budget, "time_steps_of_phase", watched)
    recipe = sharp97(epochs=2)
    run = train(project, recipe, "budgeted-sharp", RunOptions(seed=3, time_budget=120.0))
    assert timed == list(recipe.phases)
    assert run.read_recipe()[0] == recipe
    plain = train(project, recipe, "unbudgeted-sharp", OPTIONS)
    assert result_of(run) == result_of(plain)
