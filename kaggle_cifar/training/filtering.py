"""Proxy filtering: a small network chooses the images on which a large one is trained."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kaggle_cifar.recipes import ProxyFiltering, Recipe
from kaggle_cifar.training.losses import image_losses, regularization_loss
from kaggle_cifar.training.resizing import resize
from kaggle_cifar.training.state import Learner
from kaggle_cifar.training.step import variables_to_train, why_not_xla

if TYPE_CHECKING:
    import tensorflow as tf

Batch = tuple[Any, ...]  # as `BatchSource.batches` yields it


class ProxyFilter:
    """Chooses the images of each batch on which a small network, the proxy, has the highest loss.

    After airbench96_faster.py of Keller Jordan's cifar10-airbench. There, the proxy is trained
    before the large network. It does not depend on that network, so training both side by side
    gives the same choice.
    """

    def __init__(
        self,
        proxy: Learner,
        recipe: Recipe,
        filtering: ProxyFiltering,
        strategy: "tf.distribute.Strategy",
        image_size: int,
    ) -> None:
        self._every = filtering.every
        self._choose, self._choose_and_train = (
            compile_filter(proxy, recipe, filtering, strategy, image_size, trains)
            for trains in (False, True)
        )

    def choose(self, batch: Batch, step: int) -> Batch:
        """Return the chosen images of a batch with their labels and weights.

        `step` is the number of steps since the beginning of the training. The proxy is trained if
        it is a multiple of `every`.
        """
        return (self._choose if step % self._every else self._choose_and_train)(batch)


def compile_filter(
    proxy: Learner,
    recipe: Recipe,
    filtering: ProxyFiltering,
    strategy: "tf.distribute.Strategy",
    image_size: int,
    trains: bool,
) -> Callable[[Batch], Batch]:
    """Return the compiled function that chooses images of a batch, and `trains` the proxy on them.

    The proxy normalizes over the whole batch in both cases. Its whitening bias is never trained.
    Each replica chooses from its own part of the batch.
    """
    import tensorflow as tf

    model, optimizer = proxy.model, proxy.optimizer
    variables = variables_to_train(model, recipe, epoch=recipe.whitening_bias_epochs or 0)

    def replica_choose(pixels: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Batch:
        with tf.GradientTape() as tape:
            outputs = model(resize(pixels, image_size), training=True)
            losses = image_losses(model, labels, outputs, recipe.label_smoothing)
            counted = tf.where(weights > 0, losses, tf.zeros_like(losses))
            chosen = hardest(counted, filtering.share)
            penalty = regularization_loss(model) / strategy.num_replicas_in_sync
            loss = tf.reduce_sum(tf.gather(losses * weights, chosen)) + penalty
            scaled_loss = optimizer.scale_loss(loss)
        if trains:
            optimizer.apply(tape.gradient(scaled_loss, variables), variables)
        # TensorFlow has no kernel that gathers uint8 on a GPU.
        chosen_pixels = tf.cast(tf.gather(tf.cast(pixels, tf.float32), chosen), tf.uint8)
        return chosen_pixels, tf.gather(labels, chosen), tf.gather(weights, chosen)

    @tf.function(autograph=False, jit_compile=not why_not_xla(recipe, strategy))
    def choose(batch: Batch) -> Batch:
        chosen: Batch = strategy.run(replica_choose, args=batch)
        return chosen

    compiled: Callable[[Batch], Batch] = choose
    return compiled


def hardest(losses: "tf.Tensor", share: float) -> "tf.Tensor":
    """Return the rows of the highest losses, int32 (chosen,), at least `share` of all."""
    import tensorflow as tf

    count = tf.math.ceil(share * tf.cast(tf.size(losses), tf.float64))
    return tf.math.top_k(losses, tf.cast(count, tf.int32)).indices
