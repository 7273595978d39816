"""Optimizers and Lookahead compared with their formulas, on a real network."""

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar import models, recipes
from kaggle_cifar.recipes import TriangularSchedule
from kaggle_cifar.training import optimizers

SGD = recipes.SGD(momentum=0.85, weight_decay=0.01, bias_scaler=64)
MUON = recipes.Muon(learning_rate=0.2, momentum=0.6)
STEPS = 3
RATE = 0.05


def test_legacy_rmsprop_is_the_formula_of_keras_2():
    rng = np.random.default_rng(0)
    gradients = rng.normal(0, 1e-4, (5, 3)).astype(np.float32)  # where epsilon's place matters
    variable = keras.Variable(np.zeros(3, np.float32))
    optimizer = optimizers.LegacyRMSprop(0.01, decay=0.1)
    optimizer.build([variable])
    value, velocity = np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(gradients):
        optimizer.apply([gradient], [variable])
        velocity = 0.9 * velocity + 0.1 * gradient.astype(float) ** 2
        value -= 0.01 / (1 + 0.1 * step) * gradient / (np.sqrt(velocity) + 1e-7)
    np.testing.assert_allclose(variable, value, rtol=1e-5)


def test_legacy_rmsprop_without_decay_is_near_keras_3():
    gradient, steps = np.ones(1, np.float32), []
    tuned = recipes.model3_tuned()
    for name in ("legacy-rmsprop", "rmsprop"):
        optimizer = optimizers.build_optimizer(dataclasses.replace(tuned, optimizer=name))
        variable = keras.Variable(np.zeros(1, np.float32))
        optimizer.build([variable])
        optimizer.apply([gradient], [variable])
        steps.append(np.asarray(variable))
    np.testing.assert_allclose(*steps, rtol=1e-5)


@pytest.fixture
def network():
    return models.build("airbench", {"widths": [8, 24, 8]})


def recipe_with(**changes):
    return dataclasses.replace(recipes.airbench94(), learning_rate=RATE, **changes)


def gradients_like(values, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=value.shape).astype(np.float32) for value in values]


def apply_compiled(optimizer, variables, gradients):
    """Apply gradients in a compiled function, scaled if the optimizer scales."""

    @tf.function(autograph=False)
    def step(gradients):
        optimizer.apply([optimizer.scale_loss(gradient) for gradient in gradients], variables)

    for group in gradients:
        step([tf.constant(gradient) for gradient in group])


def values_of(variables):
    return [np.array(variable) for variable in variables]


def train_network(network, recipe, wrap=lambda optimizer: optimizer):
    """Return the trained variables' values before and after some steps, and the gradients."""
    optimizer = wrap(optimizers.build_optimizer(recipe))
    optimizer.build(network.trainable_variables)
    before = values_of(network.trainable_variables)
    gradients = [gradients_like(before, seed) for seed in range(STEPS)]
    apply_compiled(optimizer, network.trainable_variables, gradients)
    return before, values_of(network.trainable_variables), gradients


def nesterov(value, gradients, rate, weight_decay, momentum=SGD.momentum):
    """Return the value after steps of PyTorch's SGD(nesterov=True, weight_decay=l2)."""
    value, velocity = value.astype(float), 0.0
    for gradient in gradients:
        gradient = gradient + weight_decay * value
        velocity = momentum * velocity + gradient
        value = value - rate * (gradient + momentum * velocity)
    return value


def test_nesterov_without_weight_decay_is_keras_sgd():
    values = [np.ones((3, 4), np.float32), np.zeros(4, np.float32)]
    gradients = [gradients_like(values, seed) for seed in range(5)]
    results = []
    for optimizer in (
        keras.optimizers.SGD(RATE, momentum=0.85, nesterov=True),
        optimizers.NesterovSGD(RATE, momentum=0.85, weight_decay=0.0, bias_scaler=64),
    ):
        variables = [keras.Variable(value) for value in values]
        optimizer.build(variables)
        apply_compiled(optimizer, variables, gradients)
        results.append(values_of(variables))
    for keras_value, own_value in zip(*results, strict=True):
        np.testing.assert_allclose(own_value, keras_value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "wrap",
    [lambda optimizer: optimizer, optimizers.LossScale],
    ids=["float32", "float16"],
)
def test_weight_decay_is_coupled_and_biases_are_faster(network, wrap):
    before, after, gradients = train_network(network, recipe_with(sgd=SGD), wrap)
    biases = 0
    for i, variable in enumerate(network.trainable_variables):
        is_bias = "batch_normalization" in variable.path
        factor = SGD.bias_scaler if is_bias else 1
        expected = nesterov(
            before[i], [g[i] for g in gradients], RATE * factor, SGD.weight_decay / factor
        )
        np.testing.assert_allclose(after[i], expected, rtol=1e-4, atol=1e-4, err_msg=variable.path)
        biases += is_bias
    assert biases == 6  # two a block
    assert len(before) > biases


def test_learning_rate_can_be_set_between_steps(network):
    optimizer = optimizers.build_optimizer(recipe_with(optimizer="muon", sgd=SGD, muon=MUON))
    variables = network.trainable_variables
    optimizer.build(variables)
    before = values_of(variables)
    optimizer.learning_rate = 0.0
    apply_compiled(optimizer, variables, [gradients_like(before, 0)])
    for variable, value in zip(variables, before, strict=True):
        if len(variable.shape) != 4:  # the norm of a kernel is set all the same
            np.testing.assert_array_equal(variable, value)


def as_matrix(kernel):
    return kernel.reshape(-1, kernel.shape[-1]).T


def test_muon_makes_orthogonal_steps_from_a_fixed_norm(network):
    optimizer = optimizers.build_optimizer(recipe_with(optimizer="muon", sgd=SGD, muon=MUON))
    variables = network.trainable_variables
    optimizer.build(variables)
    before, momenta = values_of(variables), {}
    for seed in range(STEPS):
        gradients = gradients_like(before, seed)
        kernels = values_of(variables)
        apply_compiled(optimizer, variables, [gradients])
        for i, variable in enumerate(variables):
            if len(variable.shape) != 4:
                continue
            filters = variable.shape[-1]
            momenta[i] = MUON.momentum * momenta.get(i, 0) + gradients[i]
            direction = as_matrix(gradients[i] + MUON.momentum * momenta[i])
            normed = kernels[i] * np.sqrt(filters) / np.linalg.norm(kernels[i])
            step = as_matrix(normed - np.array(variable)) / MUON.learning_rate
            left, _, right = np.linalg.svd(direction.astype(float), full_matrices=False)
            values = left.T @ step @ right.T  # diagonal where the singular vectors are the same
            np.testing.assert_allclose(values, np.diag(np.diag(values)), atol=0.01)
            assert 0.6 < np.diag(values).min() <= np.diag(values).max() < 1.3


def test_muon_trains_other_variables_by_sgd(network):
    before, after, gradients = train_network(
        network, recipe_with(optimizer="muon", sgd=SGD, muon=MUON)
    )
    for i, variable in enumerate(network.trainable_variables):
        if len(variable.shape) == 4:
            continue
        factor = SGD.bias_scaler if "batch_normalization" in variable.path else 1
        expected = nesterov(
            before[i], [g[i] for g in gradients], RATE * factor, SGD.weight_decay / factor
        )
        np.testing.assert_allclose(after[i], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 40), (40, 4), (7, 7)])
def test_orthogonalize_keeps_the_singular_vectors(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    spread = np.linspace(1, 4, min(shape))
    result = np.asarray(optimizers.orthogonalize(tf.constant(left * spread @ right, tf.float32)))
    assert result.shape == shape
    values = left.T @ result @ right.T
    np.testing.assert_allclose(values, np.diag(np.diag(values)), atol=1e-4)
    assert 0.6 < np.diag(values).min() <= np.diag(values).max() < 1.3


def test_lookahead_interpolates_the_whole_state(network):
    start = values_of(network.variables)
    lookahead = optimizers.Lookahead(network.variables)
    slow = [value.astype(float) for value in start]
    for seed, decay in enumerate([0.0, 0.3, 0.77]):
        fast = gradients_like(start, seed)
        for variable, value in zip(network.variables, fast, strict=True):
            variable.assign(value)
        lookahead.pull(decay)
        slow = [decay * s + (1 - decay) * f for s, f in zip(slow, fast, strict=True)]
        for variable, value in zip(network.variables, slow, strict=True):
            np.testing.assert_allclose(variable, value, atol=1e-6, err_msg=variable.path)
    assert any("moving_variance" in variable.path for variable in network.variables)
    for variable in network.variables:
        variable.assign(variable + 1)
    lookahead.pull(1.0)  # the slow weights themselves
    for variable, value in zip(network.variables, slow, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-6)


def test_lookahead_is_compiled_once_for_all_decays(network):
    lookahead = optimizers.Lookahead(network.variables)
    for decay in (0.1, 0.2, 0.3):
        lookahead.pull(decay)
    assert lookahead.pull.experimental_get_tracing_count() == 1


def test_lookahead_weight_is_cubic_in_progress():
    lookahead = recipes.Lookahead(every=5, decay=0.95)
    assert lookahead.weight(1) == pytest.approx(0.95**5)
    assert lookahead.weight(0.5) == pytest.approx(0.95**5 / 8)
    assert lookahead.weight(0) == 0


@given(
    start=st.floats(0, 1),
    peak=st.floats(0, 0.99, allow_subnormal=False),  # one step of a million is 1e-6
    end=st.floats(0, 1),
    progress=st.floats(0, 1),
)
def test_triangular_schedule_is_linear(start, peak, end, progress):
    rises = peak > 0
    corners = ([0, peak, 1], [start, 1, end]) if rises else ([0, 1], [1, end])
    factor = TriangularSchedule(start, peak, end).factor(progress)
    assert factor == pytest.approx(np.interp(progress, *corners), abs=1e-9)


# Two logical CPUs stand for two GPUs. They must be set up before TensorFlow starts.
OVERFLOW = """
import keras, numpy as np
import tensorflow as tf
from kaggle_cifar.training.optimizers import LossScale, NesterovSGD

[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variable = keras.Variable(np.ones(3, np.float32))
    optimizer = LossScale(NesterovSGD(0.5, momentum=0.0, weight_decay=0.0, bias_scaler=1.0))
    optimizer.build([variable])

@tf.function
def step(overflowing):
    def replica_step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradient = tf.where(tf.equal(replica, overflowing), np.inf, 1.0) * tf.ones(3)
        optimizer.apply([gradient * optimizer.dynamic_scale], [variable])
    strategy.run(replica_step)

for overflowing in (0, 1):
    scale = optimizer.dynamic_scale.numpy()
    step(tf.constant(overflowing))
    print(variable.numpy(), optimizer.dynamic_scale.numpy() / scale)
step(tf.constant(-1))
print(variable.numpy(), optimizer.step_counter.numpy())
"""


@pytest.mark.slow
def test_overflow_on_any_device_skips_the_step():
    printed = subprocess.run(
        [sys.executable, "-c", OVERFLOW], check=True, capture_output=True, text=True
    ).stdout
    # Two devices with a gradient of 1 each: at a learning rate of 0.5, the variable falls by 1.
    assert printed.splitlines() == ["[1. 1. 1.] 0.5", "[1. 1. 1.] 0.5", "[0. 0. 0.] 1"]
