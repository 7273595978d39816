"""The student project's recipes have its published settings."""

import dataclasses

from kaggle_cifar import recipes


def test_model3_has_the_published_settings():
    model3 = recipes.model3()
    assert (model3.optimizer, model3.learning_rate, model3.decay) == ("legacy-rmsprop", 1e-3, 1e-6)
    assert (model3.batch_size, model3.epochs) == (64, 50)
    assert model3.early_stopping == recipes.EarlyStopping(patience=5)
    assert model3.plateau == recipes.ReduceLROnPlateau(factor=0.2, patience=2, min_delta=1e-4)


def test_tuned_model3_has_the_published_settings():
    tuned = recipes.model3_tuned()
    assert (tuned.optimizer, tuned.learning_rate, tuned.decay) == ("rmsprop", 1e-2, 0)
    assert (tuned.batch_size, tuned.epochs, tuned.plateau.factor) == (32, 40, 0.5)
    assert tuned.exponential_decay == recipes.ExponentialDecay(start=10, rate=0.1)
    assert recipes.model3_tuned_plateau() == dataclasses.replace(
        tuned, name="model3-tuned-plateau", exponential_decay=None
    )


def test_first_two_models_have_the_published_epochs():
    assert (recipes.model1().epochs, recipes.model2().epochs) == (25, 15)
