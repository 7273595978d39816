"""A network in a file of the user's own: read from there, kept with the run, run on purpose.

A recipe that names the file carries its code from then on. The user's home notes the digest of
each file that the user has named. Code that comes with a run from elsewhere has no such note.
"""

import ast
import contextlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_text
from kaggle_cifar.models.registry import NetworkError, digest_of
from kaggle_cifar.ownership import RESERVED, regular_file

LARGEST_FILE = 200_000  # bytes; Kaggle takes scripts of a megabyte
VARIABLE = "KAGGLE_CIFAR_ALLOW_NETWORK"  # digests of networks that may run

_allowed: set[str] = set()  # digests that the user has named in this process
_registered: dict[str, list[str]] = {}  # code of the networks that this process registered


class ChangedNetworkError(UserError):
    """An own network is not the one that was kept; `network` names it, `path` what kept it."""

    def __init__(self, network: str, path: Path, remedy: str) -> None:
        super().__init__(f"The network {network} differs from the one kept in {path}. {remedy}")
        self.network, self.path = network, path


class UntrustedNetworkError(UserError):
    """An own network was never named by this user; `path` is the file that contains its code."""

    def __init__(self, network: str, path: Path, sha256: str) -> None:
        super().__init__(
            f"{path} contains the code of a network, {network}, that you have not trained on this "
            'machine. Running it could do anything. Read the code under "network_source". If you '
            f"trust it, set {VARIABLE}={sha256} and run this again."
        )
        self.network, self.path, self.sha256 = network, path, sha256


def is_own(network: str) -> bool:
    """Return whether a recipe's network is a file or a module of the user's own."""
    return "." in network


def with_own_network(content: dict[str, Any], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the JSON values of a recipe with the code of the own network that it names.

    The file is looked for in `folders`, in that order. A recipe that has code keeps it.

    Raises
    ------
    NetworkError
        When the file is missing or is not a network.
    """
    network = content.get("network")
    if content.get("network_source") is not None or not isinstance(network, str):
        return content
    if network in _registered:
        return {**content, "network": f"{network}.py", "network_source": _registered[network]}
    if not is_own(network):
        return content
    file = find_file(network, folders)
    source = read_source(network, file)
    allow(source)
    return {
        **content,
        "network": file.name if network.endswith(".py") else network,
        "network_source": source,
    }


def register(name: str, source: list[str]) -> None:
    """Make code the network called `name` in this process, and note that it may run."""
    allow(source)
    _registered[name] = source


def find_file(network: str, folders: Sequence[Path]) -> Path:
    """Return the file of an own network, named by its path or as an importable module."""
    if network.endswith(".py"):
        files = [folder / network for folder in folders]
        if file := next((file for file in files if os.path.lexists(file)), None):
            return file
        places = " or ".join(dict.fromkeys(str(folder.absolute()) for folder in folders))
        raise NetworkError(network, "missing", f"is missing: no such file in {places}")
    try:
        spec = importlib.util.find_spec(network)
    except (Exception, SystemExit) as error:  # this imports the parent package
        raise NetworkError(network, "missing", f"cannot be imported: {error}") from error
    if not spec or not spec.origin or not spec.origin.endswith(".py"):
        raise NetworkError(
            network,
            "missing",
            "is not an importable module with a Python file. Name the file itself, like my_net.py",
        )
    return Path(spec.origin)


def read_source(network: str, file: Path) -> list[str]:
    """Return the lines of an own network's file, which must define `build`."""
    try:
        content = regular_file(file).read_bytes()
        if len(content) > LARGEST_FILE:
            raise NetworkError(network, "file", f"is larger than {LARGEST_FILE:,} bytes")
        code = content.decode("utf-8-sig")
        tree = ast.parse(code)
    except OSError as error:
        raise UserError(f"Could not read {file}: {error.strerror or error}.") from error
    except SyntaxError as error:
        line = error.lineno or 1
        raise NetworkError(network, "file", f"cannot be loaded: {error.msg}", line) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise NetworkError(network, "file", f"cannot be loaded: {error}") from error
    if not any(bound_name(node) == "build" for node in ast.walk(tree)):
        raise NetworkError(network, "file", "has no function `build` that returns a Keras model")
    return code.replace("\r\n", "\n").split("\n")


def bound_name(node: ast.AST) -> str | None:
    """Return the name that a definition, an import or an assignment binds."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.alias():
            return node.asname or node.name
        case ast.Name(id=name, ctx=ast.Store()):
            return name
    return None


# Whether the code may run


def notes_folder() -> Path:
    """Return the folder in the user's home with a file for each network that may run."""
    return Path.home() / RESERVED / "networks"


def allow(source: Sequence[str]) -> None:
    """Note that the user has named a network's file, so that its code may run."""
    digest = digest_of(source)
    _allowed.add(digest)
    # Without a home, VARIABLE allows the network in other processes.
    with contextlib.suppress(OSError, RuntimeError, UserError):
        write_text(notes_folder() / digest, "\n".join(source))


def is_allowed(digest: str) -> bool:
    """Return whether the user has named the network with that digest."""
    if digest in _allowed or digest in os.environ.get(VARIABLE, ""):
        return True
    try:
        return (notes_folder() / digest).is_file()
    except (OSError, RuntimeError):
        return False


def require_allowed(network: str, source: Sequence[str], path: Path) -> None:
    """Raise an UntrustedNetworkError unless the user has named the network kept in `path`."""
    digest = digest_of(source)
    if not is_allowed(digest):
        raise UntrustedNetworkError(network, path, digest)


def check_unchanged(network: str, source: Sequence[str], path: Path) -> None:
    """Raise a ChangedNetworkError if the file that `path` was written with has changed.

    A file that is no longer there does not matter: its code is kept in `path`. Nor does a file in
    the working directory if `path` is a run's own run.json, which is the record of that run.
    """
    for folder in [path.parent] if path.name == "run.json" else [path.parent, Path()]:
        file = folder / network
        if network.endswith(".py") and file.is_file():
            if read_source(network, file) != list(source):
                raise ChangedNetworkError(
                    network,
                    path,
                    f'Restore {file}, or remove "network_source" from {path} to use {file} as it '
                    "is.",
                )
            return
