"""Learning rate and early stopping between epochs, compared with Keras' callbacks."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import recipes
from kaggle_cifar.training.epoch_schedule import EpochSchedule


class FakeModel:
    """The parts of a model that Keras' callbacks use."""

    def __init__(self, learning_rate):
        self.optimizer = keras.optimizers.RMSprop(learning_rate)
        self.stop_training = False
        self.weights = 0

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def keras_decisions(recipe, losses):
    """Return the learning rates and the best epoch that Keras' callbacks choose."""
    callbacks = [
        keras.callbacks.EarlyStopping(
            patience=recipe.early_stopping.patience, restore_best_weights=True
        ),
        keras.callbacks.ReduceLROnPlateau(
            factor=recipe.plateau.factor,
            patience=recipe.plateau.patience,
            min_delta=recipe.plateau.min_delta,
        ),
    ]
    if decay := recipe.exponential_decay:
        callbacks.append(
            keras.callbacks.LearningRateScheduler(
                lambda epoch, rate: rate * math.exp(-decay.rate) if epoch >= decay.start else rate
            )
        )
    model, rates = FakeModel(recipe.learning_rate), []
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.weights = epoch
        for callback in callbacks:
            callback.on_epoch_begin(epoch)
        rates.append(float(np.asarray(model.optimizer.learning_rate)))
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            break
    for callback in callbacks:
        callback.on_train_end()
    return rates, model.weights


def own_decisions(recipe, losses, killed_after):
    schedule, rates = EpochSchedule(float(np.float32(recipe.learning_rate))), []
    for epoch, loss in enumerate(losses):
        schedule.start_epoch(recipe, epoch)
        rates.append(schedule.learning_rate)
        schedule.end_epoch(recipe, epoch, loss)
        if epoch in killed_after:
            schedule = EpochSchedule(**dataclasses.asdict(schedule))
        if schedule.should_stop(recipe):
            break
    return rates, schedule.best_epoch


# Few distinct values make plateaus, equal losses and new minima frequent.
loss_lists = st.lists(
    st.sampled_from([0.5, 0.50005, 0.6, 0.7, 0.70009, 1.0]), min_size=1, max_size=30
)


@settings(max_examples=40)
@given(
    losses=loss_lists,
    recipe=st.sampled_from(["model3", "model3-tuned-plateau", "model3-tuned"]),
    killed_after=st.sets(st.integers(0, 29)),
)
def test_decisions_are_those_of_keras(losses, recipe, killed_after):
    recipe = recipes.RECIPES[recipe]()
    rates, best_epoch = own_decisions(recipe, losses, killed_after)
    keras_rates, keras_best_epoch = keras_decisions(recipe, losses)
    assert rates == pytest.approx(keras_rates, rel=1e-6)
    assert best_epoch == keras_best_epoch


def test_learning_rate_stays_without_plateau():
    recipe = dataclasses.replace(recipes.model3(), early_stopping=None, plateau=None)
    rates, _ = own_decisions(recipe, [1.0] * 20, set())
    assert rates == [rates[0]] * 20
