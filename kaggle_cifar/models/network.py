"""Build a network, adapt it to the training images, and check what it takes and gives."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE, IMAGE_SIZE
from kaggle_cifar.models.registry import NetworkError, failed_line, load_module

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

OUTPUT_NAMES = ("logits", "probabilities")


def build(
    name: str,
    options: dict[str, Any],
    policy: str = "float32",
    source: Sequence[str] | None = None,
) -> "keras.Model":
    """Return an untrained network: uint8 (batch, 32, 32, 3) in, float32 (batch, 10) out.

    Its output layer is named "logits" or "probabilities", after what it gives. Its layers compute
    in the Keras dtype policy. `source` is the code of a user's own network, which is executed.

    Raises
    ------
    NetworkError
        When the network has no such options, it cannot be built with their values, or it takes or
        gives something else. When the code of an own network fails.
    """
    module = load_module(name, source)
    try:
        with default_policy(policy):
            model = module.build(**options)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise NetworkError(
            name,
            "build",
            f"cannot be built with {options}: {error}. Its options are "
            f"{parameters_of(module.build)}",
            failed_line(module.__file__, error),
        ) from error
    check_ends(name, model)
    return model


def adapt(
    name: str, model: "keras.Model", pixels: "np.ndarray", source: Sequence[str] | None = None
) -> None:
    """Call the network's `adapt`, if it has one, with the training images uint8 (n, 32, 32, 3).

    Raises
    ------
    NetworkError
        When that function fails.
    """
    module = load_module(name, source)
    if not hasattr(module, "adapt"):
        return
    try:
        module.adapt(model, pixels)
    except (Exception, SystemExit) as error:  # see `build`
        raise NetworkError(
            name,
            "adapt",
            f"cannot be adapted to the images: {error}",
            failed_line(module.__file__, error),
        ) from error


def parameters_of(function: Callable[..., Any]) -> str:
    """Return the parameters of a function as its definition has them."""
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):  # not a Python function
        return "unknown"


@contextmanager
def default_policy(policy: str) -> Iterator[None]:
    """Set Keras' dtype policy for the layers that are made in this context."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_ends(name: str, model: Any) -> None:
    """Raise a NetworkError unless a model takes images and its output layer has a known name."""
    import keras

    takes: Any = getattr(model, "input", None)
    gives: Any = getattr(model, "output", None)
    single = isinstance(takes, keras.KerasTensor) and isinstance(gives, keras.KerasTensor)
    if not single or not hasattr(model, "output_names"):
        raise NetworkError(
            name,
            "kind",
            f"has a `build` that returns an object of the type {type(model).__name__}, but it must "
            "return keras.Model(inputs, outputs) with one input and one output",
        )
    for fault, found, expected in (
        ("input shape", takes.shape, [(None, *IMAGE_SHAPE)]),
        ("input dtype", takes.dtype, ["uint8"]),
        ("output name", model.output_names[0], OUTPUT_NAMES),
        ("output shape", gives.shape, [(None, len(CLASS_NAMES))]),
        ("output dtype", gives.dtype, ["float32"]),
    ):
        if found not in expected:
            raise NetworkError(
                name,
                fault,
                f"has the {fault} {found}, but must have {' or '.join(map(str, expected))}. "
                "Change its function `build`",
            )


def allow_image_size(name: str, model: "keras.Model", size: int) -> None:
    """Let a network also take images uint8 (batch, size, size, 3).

    Raises
    ------
    NetworkError
        When it cannot.
    """
    import keras

    model.input_spec = keras.InputSpec(shape=(None, None, None, IMAGE_SHAPE[-1]))
    try:
        trace_forward(model, size)
    except Exception as error:  # see `build`
        message = f"cannot take images of {size} x {size} pixels: {error}"
        raise NetworkError(name, "image size", message) from error


def gives_logits(model: "keras.Model") -> bool:
    """Return whether a network from `build` gives logits instead of probabilities."""
    return bool(model.output_names == ["logits"])


def flops(model: "keras.Model", size: int = IMAGE_SIZE) -> int:
    """Return the floating-point operations of the forward pass of an image of `size` pixels.

    Counts convolutions and dense layers as papers do: a multiplication and its addition are two.
    Training takes three times as many.
    """
    total = 0
    for operation in trace_forward(model, size).get_operations():
        if operation.type in ("Conv2D", "MatMul"):
            *inputs_of_filter, _ = operation.inputs[1].shape
            total += 2 * math.prod(operation.outputs[0].shape) * math.prod(inputs_of_filter)
    return total


def trace_forward(model: "keras.Model", size: int) -> "tf.Graph":
    """Return the graph of the forward pass of one image of `size` x `size` pixels."""
    import tensorflow as tf

    image = tf.TensorSpec((1, size, size, IMAGE_SHAPE[-1]), tf.uint8)
    return tf.function(model, autograph=False).get_concrete_function(image).graph
