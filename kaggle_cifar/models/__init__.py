"""The networks: one file each, named as recipes name it, with a function `build`."""

import importlib
import importlib.util
import inspect
import pkgutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE
from kaggle_cifar.errors import UserError
from kaggle_cifar.tensorflow_setup import choose_backend

if TYPE_CHECKING:
    import keras
    import numpy as np

NO_NETWORKS = {"inference", "layers", "weights"}  # what else is in this package
OUTPUT_NAMES = ("logits", "probabilities")


class NetworkError(UserError):
    """A network cannot be used; `network` names it, and `fault` says which part is wrong."""

    def __init__(self, network: str, fault: str, message: str) -> None:
        super().__init__(f"The network {network} {message}")
        self.network, self.fault = network, fault


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} - NO_NETWORKS)


def build(name: str, options: dict[str, Any], policy: str = "float32") -> "keras.Model":
    """Return a fresh network: uint8 (batch, 32, 32, 3) in, float32 (batch, 10) out.

    Its output layer is named "logits" or "probabilities", after what it gives. Its layers compute
    as the Keras dtype policy says, see `runtime.dtype_policy`.

    Raises
    ------
    NetworkError
        When the network's file is faulty, it has no such options, it cannot be built with their
        values, or it takes or gives something else.
    """
    module = _module(name)
    try:
        with _default_policy(policy):
            model = module.build(**options)
    except Exception as error:  # the file may be the user's own, and raise anything
        raise NetworkError(
            name,
            "build",
            f"cannot be built with {options}: {error}{_place(name, error)}. It takes "
            f"{inspect.signature(module.build)}.",
        ) from error
    _check(name, model)
    return model


def adapt(name: str, model: "keras.Model", pixels: "np.ndarray") -> None:
    """Set what a network takes from the training images uint8 (n, 32, 32, 3), if it does.

    Raises
    ------
    NetworkError
        When the function `adapt` of the network's file fails.
    """
    module = _module(name)
    if not hasattr(module, "adapt"):
        return
    try:
        module.adapt(model, pixels)
    except Exception as error:  # see `build`
        raise NetworkError(
            name,
            "adapt",
            f"cannot be adapted to the images: {error}{_place(name, error)}.",
        ) from error


def gives_logits(model: "keras.Model") -> bool:
    """Return whether the outputs of a network from `build` still want a softmax."""
    return model.output_names == ["logits"]


def flops(model: "keras.Model") -> int:
    """Return the floating-point operations of one image's forward pass.

    Those of convolutions and dense layers, two for a multiplication with its addition, as papers
    count them; the rest is small. Training takes three times as many.
    """
    import keras

    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            positions = 1
            for size in layer.output.shape[1:-1]:
                positions *= size
            total += 2 * positions * layer.kernel.shape.num_elements()
    return total


def _module(name: str) -> ModuleType:
    choose_backend()
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # see `build`
        raise NetworkError(
            name,
            "file",
            f"cannot be loaded: {type(error).__name__}: {getattr(error, 'msg', error)}"
            f"{_place(name, error)}. Correct the file and run this again.",
        ) from error
    if not callable(getattr(module, "build", None)):
        raise NetworkError(
            name, "file", f"has no function `build` in {module.__file__}. Write one that makes it."
        )
    return module


def _place(name: str, error: Exception) -> str:
    """Return where in the network's file an error was raised."""
    spec = importlib.util.find_spec(f"{__name__}.{name}")
    file = spec.origin if spec else None
    if isinstance(error, SyntaxError):
        return f" ({error.filename or file}, line {error.lineno or 1})"
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return f" ({file}, line {lines[-1]})" if lines else ""


@contextmanager
def _default_policy(policy: str) -> Iterator[None]:
    """Let layers made in this context compute as `policy` says, and no others."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _check(name: str, model: Any) -> None:
    """Raise a NetworkError unless a model takes pixels and says what it gives."""
    import keras

    takes: Any = getattr(model, "input", None)
    gives: Any = getattr(model, "output", None)
    single = isinstance(takes, keras.KerasTensor) and isinstance(gives, keras.KerasTensor)
    if not single or not hasattr(model, "output_names"):
        raise NetworkError(
            name,
            "kind",
            f"is built as {type(model).__name__}, but `build` must return keras.Model(inputs, "
            "outputs) with one input and one output.",
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
                f"has the {fault} {found}, but {' or '.join(map(str, expected))} was expected. "
                "Change its function `build`.",
            )
