"""Networks that are written as a function, for instance in a cell of a notebook."""

import importlib
import inspect
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kaggle_cifar.api.arguments import require_type
from kaggle_cifar.api.display import without_traceback
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.own_network import register
from kaggle_cifar.recipes import require_name

if TYPE_CHECKING:
    import keras


class NetworkFunctionError(UserError):
    """A function cannot be kept as a network; `name` is the network's name."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"The network {name} cannot be registered: {fault}. Define everything inside the "
            "function, or write the network to a file and use network=my_net.py."
        )
        self.name = name


@without_traceback
def register_network(name: str, build: "Callable[..., keras.Model]") -> None:
    """Make a function the network called `name`, for recipes of this session.

    The code of the function becomes part of each recipe and run that uses it. It may use modules
    and what it defines itself, nothing else. A run keeps its copy, so later sessions can predict
    with it.

    Parameters
    ----------
    name
        Name of the network.
    build
        Function that returns a Keras model: pixels as uint8 (batch, 32, 32, 3) in, ten numbers as
        float32 out, from a layer named `logits` or `probabilities`. Its arguments are the recipe's
        `network_options`.

    Raises
    ------
    UserError
        If the code of the function is not known, or it uses other names.

    Examples
    --------
    >>> import keras
    >>> import kaggle_cifar as kc
    >>> def perceptron(units=16):
    ...     inputs = keras.Input((32, 32, 3), dtype="uint8")
    ...     x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    ...     x = keras.layers.Dense(units, activation="relu")(x)
    ...     return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x))
    >>> kc.register_network("perceptron", perceptron)
    >>> run = kc.train("model1", changes={"network": "perceptron"}, epochs=1)
    >>> run.recipe.network
    'perceptron.py'
    """
    require_type("name", name, str, "the name of a network")
    require_name("network", name)
    require_type("build", build, Callable, "a function")  # type: ignore[arg-type]
    if not inspect.isfunction(build) or build.__name__ == "<lambda>":
        raise NetworkFunctionError(name, "it must be a function that is defined with def")
    register(name, network_source(name, build))


def network_source(name: str, build: Callable[..., Any]) -> list[str]:
    """Return the lines of a file that defines the function as `build`."""
    try:
        code = textwrap.dedent(inspect.getsource(build)).rstrip()
    except (OSError, TypeError):
        raise NetworkFunctionError(name, "the code of its function is not known") from None
    used = inspect.getclosurevars(build)
    imports = [import_line(name, *item) for item in {**used.globals, **used.nonlocals}.items()]
    alias = [] if build.__name__ == "build" else ["", "", f"build = {build.__name__}"]
    return [*sorted(imports), "", "", *code.split("\n"), *alias, ""]


def import_line(network: str, name: str, value: Any) -> str:
    """Return the line that imports a module under the name that a function uses."""
    if isinstance(value, ModuleType) and is_importable(value):
        plain = value.__name__ == name
        return f"import {name}" if plain else f"import {value.__name__} as {name}"
    raise NetworkFunctionError(network, f"it uses {name}, which is defined outside")


def is_importable(module: ModuleType) -> bool:
    """Return whether a module can be imported by its name."""
    try:
        return importlib.import_module(module.__name__) is module
    except ImportError:
        return False
