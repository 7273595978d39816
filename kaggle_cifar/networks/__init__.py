"""The networks: one file each, named as recipes name it, with a function `build`."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def names() -> list[str]:
    """Return the names that `build` knows."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def build(name: str) -> "keras.Model":
    """Return a fresh network: uint8 (batch, 32, 32, 3) in, float32 (batch, 10) out.

    Its output layer is named "logits" or "probabilities", after what it gives.
    """
    return importlib.import_module(f"{__name__}.{name}").build()


def gives_logits(model: "keras.Model") -> bool:
    """Return whether the outputs of a network from `build` still want a softmax."""
    return model.output_names == ["logits"]
