"""The recipe `leaderboard` has its published settings."""

import numpy as np
import pytest

from kaggle_cifar import recipes


def test_leaderboard_has_the_published_settings():
    recipe = recipes.leaderboard()
    assert recipe.network_options == {"depth": 16, "width": 8}
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs) == (0.1, 128, 200)
    assert recipe.schedule == recipes.CosineSchedule(warmup=0, end=0)
    assert recipe.label_smoothing == 0.1
    assert recipe.phases == {recipes.Phase(32, recipes.Sharpness(2.0, adaptive=True)): 1}
    assert (recipe.augmentation.policy, recipe.augmentation.cutout) == ("auto", 16)
    assert (recipe.augmentation.translate, recipe.augmentation.edges) == (4, "mean")


def test_leaderboard_updates_weights_as_pytorch_does():
    """Learning rate 0.1, Nesterov 0.9 and L2 5e-4 for all weights, biases and scales."""
    import keras

    from kaggle_cifar.training.optimizers import build_optimizer

    optimizer = build_optimizer(recipes.leaderboard())
    rng = np.random.default_rng(0)
    expected = {name: rng.normal(size=4) for name in ("kernel", "bias", "gamma", "beta")}
    variables = [
        keras.Variable(value, dtype="float32", name=name) for name, value in expected.items()
    ]
    buffers = dict.fromkeys(expected, 0.0)
    optimizer.build(variables)
    for _ in range(3):
        gradients = {name: rng.normal(size=4) for name in expected}
        optimizer.apply([keras.ops.cast(g, "float32") for g in gradients.values()], variables)
        for name, gradient in gradients.items():
            decayed = gradient + 5e-4 * expected[name]
            buffers[name] = 0.9 * buffers[name] + decayed
            expected[name] = expected[name] - 0.1 * (decayed + 0.9 * buffers[name])
    for variable in variables:
        assert np.asarray(variable) == pytest.approx(expected[variable.name], rel=1e-4)
