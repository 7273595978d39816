"""The networks: one file each, named as recipes name it, with a function `build`."""

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kaggle_cifar.errors import UserError

if TYPE_CHECKING:
    import keras
    import numpy as np


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(name: str, options: dict[str, Any]) -> "keras.Model":
    """Return a fresh network: uint8 (batch, 32, 32, 3) in, float32 (batch, 10) out.

    Its output layer is named "logits" or "probabilities", after what it gives.

    Raises
    ------
    UserError
        When the network has no such options, or cannot be built with their values.
    """
    module = _module(name)
    try:
        return module.build(**options)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The network {name}{inspect.signature(module.build)} cannot be built with {options}: "
            f"{error}."
        ) from None


def adapt(name: str, model: "keras.Model", pixels: "np.ndarray") -> None:
    """Set what a network takes from the training images uint8 (n, 32, 32, 3), if it does."""
    module = _module(name)
    if hasattr(module, "adapt"):
        module.adapt(model, pixels)


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
    return importlib.import_module(f"{__name__}.{name}")
