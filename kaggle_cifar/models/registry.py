"""The modules of the networks: the built-in ones by name, an own one from its code."""

import functools
import hashlib
import importlib
import linecache
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from kaggle_cifar.errors import UserError
from kaggle_cifar.tensorflow_setup import choose_backend

NETWORKS = {  # the module of each; imported when the network is built
    "airbench": "kaggle_cifar.models.airbench",
    "model1": "kaggle_cifar.models.model1",
    "model2": "kaggle_cifar.models.model2",
    "model3": "kaggle_cifar.models.model3",
    "wide_resnet": "kaggle_cifar.models.wide_resnet",
}


class NetworkError(UserError):
    """A network cannot be used.

    `network` names it, `fault` says what is wrong, and `line` is the line of its file, if known.
    """

    def __init__(self, network: str, fault: str, message: str, line: int | None = None) -> None:
        place = f" ({network}, line {line})" if line else ""
        super().__init__(f"The network {network} {message}{place}.")
        self.network, self.fault, self.line = network, fault, line


def names() -> list[str]:
    """Return the names of the built-in networks."""
    return list(NETWORKS)


def load_module(name: str, source: Sequence[str] | None = None) -> ModuleType:
    """Return the module of a network; `source` is the code of an own one, which is executed.

    Raises
    ------
    NetworkError
        When the code of an own network fails or has no function `build`.
    """
    choose_backend()
    if source is None:
        return importlib.import_module(NETWORKS[name])
    file = f"{name}@{digest_of(source)[:12]}"
    try:
        module = execute(name, file, "\n".join(source))
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        raise NetworkError(
            name, "file", f"cannot be loaded: {reason}", failed_line(file, error)
        ) from error
    if not callable(getattr(module, "build", None)):
        raise NetworkError(name, "file", "has no function `build` that returns a Keras model")
    return module


def digest_of(source: Sequence[str]) -> str:
    """Return the SHA-256 of an own network's code."""
    return hashlib.sha256("\n".join(source).encode()).hexdigest()


@functools.cache
def execute(name: str, file: str, code: str) -> ModuleType:
    """Return the module that an own network's code makes; `file` is its name in tracebacks."""
    module = ModuleType(f"own network {file}")
    module.__file__ = file
    module.__package__ = "" if name.endswith(".py") else name.rpartition(".")[0]
    sys.modules[module.__name__] = module  # dataclasses look for their module there
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    try:
        exec(compile(code, file, "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def failed_line(file: str | None, error: BaseException) -> int | None:
    """Return the last line of `file` that an error passed through."""
    if isinstance(error, SyntaxError) and error.filename in (None, file):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)
