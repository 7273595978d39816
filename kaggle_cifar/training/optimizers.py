"""The optimizers of the recipes."""

import keras
import tensorflow as tf

from kaggle_cifar.recipes import Recipe


class LegacyRMSprop(keras.optimizers.Optimizer):
    """RMSprop of Keras 2 with its argument `decay`, which Keras 3 dropped.

    It divides the learning rate by `1 + decay * step`, and a gradient by `sqrt(v) + epsilon`.
    Keras 3 divides by `sqrt(v + epsilon)`, which damps gradients below about 3e-4. As
    `learning_rate` stays a plain variable, callbacks can set it in addition to the decay.
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
        learning_rate = tf.cast(learning_rate, variable.dtype) / (1 + self.decay * step)
        velocity = self._velocities[self._get_variable_index(variable)]
        squared = self.rho * velocity + (1 - self.rho) * tf.square(gradient)
        self.assign(velocity, squared)
        self.assign_sub(variable, learning_rate * gradient / (tf.sqrt(squared) + self.epsilon))


class NesterovSGD(keras.optimizers.Optimizer):
    """SGD with Nesterov momentum and coupled decay, as in PyTorch.

    Weight decay is added to the gradient, so it also goes into the momentum. The biases of batch
    normalization get `bias_scaler` times the learning rate and 1 / `bias_scaler` of the decay.
    """

    def __init__(
        self, learning_rate: float, momentum: float, weight_decay: float, bias_scaler: float
    ):
        super().__init__(learning_rate, name="nesterov_sgd")
        self.momentum, self.bias_scaler = momentum, bias_scaler
        # Keras would add a decoupled decay for an attribute called `weight_decay`.
        self.coupled_decay = weight_decay

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the momentum and the learning rate factor of each variable."""
        if not self.built:
            super().build(variables)
            self._momenta = [
                self.add_variable_from_reference(variable, name="momentum")
                for variable in variables
            ]
            # `update_step` gets TensorFlow's variables, which have other names.
            self._factors = [
                self.bias_scaler if variable.name == "beta" else 1.0 for variable in variables
            ]

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Move one variable against its gradient."""
        factor = self._factors[self._get_variable_index(variable)]
        gradient = gradient + self.coupled_decay / factor * variable
        learning_rate = tf.cast(learning_rate, variable.dtype) * factor
        direction = self._accelerate(gradient, variable, self.momentum)
        self.assign_sub(variable, learning_rate * direction)

    def _accelerate(
        self, gradient: tf.Tensor, variable: keras.Variable, momentum: float
    ) -> tf.Tensor:
        """Add the gradient to the momentum; return Nesterov's direction."""
        velocity = self._momenta[self._get_variable_index(variable)]
        moved = momentum * velocity + gradient
        self.assign(velocity, moved)
        return gradient + momentum * moved


class Muon(NesterovSGD):
    """Muon for convolution kernels, `NesterovSGD` for other variables.

    A kernel is taken as a matrix (filters, inputs * height * width). Its momentum is made nearly
    orthogonal, and its norm is kept at sqrt(filters). After Keller Jordan's Muon in
    cifar10-airbench. Keras' own Muon trains convolutions by AdamW.
    """

    def __init__(
        self,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        bias_scaler: float,
        kernel_learning_rate: float,
        kernel_momentum: float,
    ):
        super().__init__(learning_rate, momentum, weight_decay, bias_scaler)
        # A schedule sets one learning rate; that of the kernels keeps its proportion to it.
        self.kernel_factor = kernel_learning_rate / learning_rate
        self.kernel_momentum = kernel_momentum

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
        learning_rate = tf.cast(learning_rate, variable.dtype) * self.kernel_factor
        normed = variable * (filters**0.5 / tf.norm(variable))
        self.assign(variable, normed - learning_rate * orthogonal)


def orthogonalize(matrix: tf.Tensor) -> tf.Tensor:
    """Return the matrix with its singular values moved near 1.

    Three steps of Muon's quintic Newton-Schulz iteration, whose coefficients trade exactness for
    speed: the singular values end between about 0.7 and 1.2.
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
    """Keras' loss scaling for float16, made safe for several GPUs.

    Keras checks the gradients of the first GPU only. Here, an overflow on any GPU makes all skip
    the step.
    """

    def check_finite(self, grads: list[tf.Tensor]) -> tf.Tensor:
        """Return whether the gradients of all replicas are finite, bool ()."""
        overflows = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, overflows) == 0


class Lookahead:
    """Slow weights towards which the network's are interpolated.

    After airbench, they cover the whole state of the network, including batch normalization
    statistics.
    """

    def __init__(self, variables: list[keras.Variable]) -> None:
        self.variables = variables
        self.slow = [tf.Variable(variable.value, trainable=False) for variable in variables]

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.float32)])
    def pull(self, decay: tf.Tensor) -> None:
        """Set both weights to decay * slow + (1 - decay) * fast."""
        for variable, slow in zip(self.variables, self.slow, strict=True):
            weight = tf.cast(decay, slow.dtype)
            slow.assign(weight * slow + (1 - weight) * variable.value)
            variable.assign(slow)


def build_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Return the optimizer of a recipe with its learning rate."""
    learning_rate, sgd, muon = recipe.learning_rate, recipe.sgd, recipe.muon
    if sgd:
        settings = (learning_rate, sgd.momentum, sgd.weight_decay, sgd.bias_scaler)
        return (
            Muon(*settings, muon.learning_rate, muon.momentum) if muon else NesterovSGD(*settings)
        )
    if recipe.optimizer == "legacy-rmsprop":
        return LegacyRMSprop(learning_rate, recipe.decay)
    if recipe.optimizer == "rmsprop":
        return keras.optimizers.RMSprop(learning_rate)
    return keras.optimizers.Adam(learning_rate)
