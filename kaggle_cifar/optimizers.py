"""The optimisers that recipes name."""

import keras
import tensorflow as tf


class LegacyRMSprop(keras.optimizers.Optimizer):
    """RMSprop as Keras 2 computed it, with its `decay` argument, which Keras 3 dropped.

    The rate is divided by `1 + decay * step`, and a gradient by `sqrt(v) + epsilon`, where
    Keras 3 divides by `sqrt(v + epsilon)`: that damps gradients below about 3e-4, this does
    not. Since `learning_rate` stays a plain variable, callbacks can set it beside the decay.
    """

    def __init__(self, learning_rate: float, decay: float = 0.0) -> None:
        super().__init__(learning_rate, name="legacy_rmsprop")
        self.decay = decay
        self.rho = 0.9
        self.epsilon = 1e-7

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the running mean of squared gradients of each variable."""
        if not self.built:
            super().build(variables)
            self._velocities = [
                self.add_variable_from_reference(variable, name="velocity")
                for variable in variables
            ]

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Move one variable against its gradient."""
        step = tf.cast(self.iterations, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype) / (1 + self.decay * step)
        velocity = self._velocities[self._get_variable_index(variable)]
        squared = self.rho * velocity + (1 - self.rho) * tf.square(gradient)
        self.assign(velocity, squared)
        self.assign_sub(variable, rate * gradient / (tf.sqrt(squared) + self.epsilon))


def build(name: str, learning_rate: float, decay: float) -> keras.optimizers.Optimizer:
    """Return the optimiser of that name; only "legacy-rmsprop" has a decay."""
    if name == "legacy-rmsprop":
        return LegacyRMSprop(learning_rate, decay)
    if name == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate)
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    raise ValueError(f"Unknown optimiser {name!r}.")
