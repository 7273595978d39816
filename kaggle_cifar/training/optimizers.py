"""The optimisers that recipes name."""

import keras
import tensorflow as tf

from kaggle_cifar.recipes import Recipe


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


class NesterovSGD(keras.optimizers.Optimizer):
    """SGD with Nesterov's momentum and coupled weight decay, as PyTorch and airbench have it.

    The L2 term goes into the gradient and so into the momentum. The biases of batch
    normalisations get `bias_scaler` times the rate and as much less L2.
    """

    def __init__(
        self, learning_rate: float, momentum: float, weight_decay: float, bias_scaler: float
    ):
        super().__init__(learning_rate, name="nesterov_sgd")
        self.momentum, self.bias_scaler = momentum, bias_scaler
        # Not `weight_decay`: by that name Keras decays decoupled from the gradient, once more.
        self.coupled_decay = weight_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the momentum of each variable, and note which are biases of normalisations."""
        if not self.built:
            super().build(variables)
            self._momenta = [
                self.add_variable_from_reference(variable, name="momentum")
                for variable in variables
            ]
            # Keras hands `update_step` TensorFlow's variables, which have other names.
            self._factors = [
                self.bias_scaler if variable.name == "beta" else 1.0 for variable in variables
            ]

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Move one variable against its gradient."""
        factor = self._factors[self._get_variable_index(variable)]
        gradient = gradient + self.coupled_decay / factor * variable
        rate = tf.cast(learning_rate, variable.dtype) * factor
        self.assign_sub(variable, rate * self._accelerate(gradient, variable, self.momentum))

    def _accelerate(
        self, gradient: tf.Tensor, variable: keras.Variable, momentum: float
    ) -> tf.Tensor:
        """Take the gradient into the variable's momentum; return Nesterov's direction."""
        velocity = self._momenta[self._get_variable_index(variable)]
        moved = momentum * velocity + gradient
        self.assign(velocity, moved)
        return gradient + momentum * moved


class Muon(NesterovSGD):
    """Muon for the kernels of convolutions, `NesterovSGD` for all else.

    A kernel, seen as a matrix (filters, inputs * height * width), moves by its momentum made
    nearly orthogonal, and is kept at a root mean square of one a filter. After Keller Jordan's
    Muon in cifar10-airbench; Keras' own leaves convolutions to AdamW.
    """

    def __init__(
        self,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        bias_scaler: float,
        kernel_rate: float,
        kernel_momentum: float,
    ):
        super().__init__(learning_rate, momentum, weight_decay, bias_scaler)
        # The schedule moves one rate; the kernels' keeps its proportion to it.
        self.kernel_factor, self.kernel_momentum = kernel_rate / learning_rate, kernel_momentum

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Move one variable against its gradient."""
        if len(variable.shape) != 4:
            super().update_step(gradient, variable, learning_rate)
            return
        direction = self._accelerate(gradient, variable, self.kernel_momentum)
        *others, filters = variable.shape
        matrix = tf.transpose(tf.reshape(direction, (-1, filters)))
        orthogonal = tf.reshape(tf.transpose(orthogonalize(matrix)), (*others, filters))
        rate = tf.cast(learning_rate, variable.dtype) * self.kernel_factor
        norm = tf.norm(variable)
        self.assign(variable, variable * (filters**0.5 / norm) - rate * orthogonal)


def orthogonalize(matrix: tf.Tensor) -> tf.Tensor:
    """Return the matrix with all its singular values brought near one, (rows, columns).

    Three steps of the quintic Newton-Schulz iteration of Muon, whose coefficients trade
    exactness for speed: the values end between about 0.7 and 1.2.
    """
    transposed = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if transposed else matrix
    x /= tf.norm(x) + 1e-7
    for _ in range(3):
        gram = tf.matmul(x, x, transpose_b=True)
        polynomial = -4.7750 * gram + 2.0315 * tf.matmul(gram, gram)
        x = 3.4445 * x + tf.matmul(polynomial, x)
    return tf.transpose(x) if transposed else x


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras' loss scaling in float16, which of several GPUs looks at the first one's gradients.

    Here an overflow on any of them makes all leave out the step.
    """

    def check_finite(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """Return whether the gradients of all replicas are finite, bool ()."""
        overflows = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, overflows) == 0


class Lookahead:
    """Slow weights that the network's are drawn back to now and then, after airbench.

    They follow all of the network's state, the statistics of its batch normalisations too.
    """

    def __init__(self, variables: list[keras.Variable]) -> None:
        self.variables = variables
        self.slow = [tf.Variable(variable.value, trainable=False) for variable in variables]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.float32)])
    def pull(self, decay: tf.Tensor) -> None:
        """Move the slow weights to decay * slow + (1 - decay) * fast, and the fast ones there."""
        for variable, slow in zip(self.variables, self.slow, strict=True):
            weight = tf.cast(decay, slow.dtype)
            slow.assign(weight * slow + (1 - weight) * variable.value)
            variable.assign(slow)


def build(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe, at its rate."""
    rate, sgd, muon = recipe.learning_rate, recipe.sgd, recipe.muon
    if sgd and muon:
        settings = (
            sgd.momentum,
            sgd.weight_decay,
            sgd.bias_scaler,
            muon.learning_rate,
            muon.momentum,
        )
        return Muon(rate, *settings)
    if sgd:
        return NesterovSGD(rate, sgd.momentum, sgd.weight_decay, sgd.bias_scaler)
    if recipe.optimizer == "legacy-rmsprop":
        return LegacyRMSprop(rate, recipe.decay)
    if recipe.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(rate)
    return keras.optimizers.Adam(rate)
