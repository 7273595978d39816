"""A Ray cluster for many trainings at once: this machine's cores and GPUs, or many nodes."""

import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any

from kaggle_cifar import __version__
from kaggle_cifar.console import counted
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import RESERVED
from kaggle_cifar.search.tasks import last_line
from kaggle_cifar.tensorflow_setup import library_versions

CONNECT_SECONDS = 10.0
CHECK_SECONDS = 120.0  # until a node answers; it must start a process first
TOKEN_FILE = Path(os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111 - there may be no home
NODE_CHECK = f"{RESERVED}.node-check"  # how the names of files begin that all nodes must see
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray reports nothing to its makers
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # `limit_tensorflow` hides the GPUs
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends this program like any other
}


class ClusterUnreachableError(UserError):
    """No Ray cluster can be joined at `address`."""

    def __init__(self, address: str | None, message: str) -> None:
        super().__init__(message)
        self.address = address


class ResourcesError(UserError):
    """A training asks for more CPUs or GPUs than any node has."""


class UnfitNodeError(UserError):
    """A node cannot run trainings; `fact` is the version or the path that differs there."""

    def __init__(self, node: str, fact: str, message: str) -> None:
        super().__init__(message)
        self.node, self.fact = node, fact


class ExtraMissingError(UserError):
    """A package of the extra `search` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"The package {package} is not installed. Run `pip install 'kaggle-cifar[search]'`."
        )
        self.package = package


@dataclass(frozen=True)
class Cluster:
    """A cluster, and what each training gets there; without an address it is this machine."""

    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None

    @contextmanager
    def connected(self, project: ProjectPaths) -> Iterator[dict[str, float]]:
        """Join the cluster, or start Ray here; yield a training's resources in Ray's names.

        Raises
        ------
        ExtraMissingError
            If Ray is not installed.
        ClusterUnreachableError
            If there is no cluster at the address.
        UnfitNodeError
            If a node has other versions or does not see the project's folders.
        ResourcesError
            If no node has the resources of a training.
        """
        require_ray()
        start_ray(self.address)
        import ray

        try:
            check_nodes(project)
            yield self.resources()
        finally:
            ray.shutdown()

    def resources(self) -> dict[str, float]:
        """Return the cores and GPUs of each training: as requested, or one core or GPU."""
        nodes = [node["Resources"] for node in live_nodes()]
        most = {key: max(node.get(key, 0) for node in nodes) for key in ("CPU", "GPU")}
        gpus = float(most["GPU"] > 0) if self.gpus is None else self.gpus
        cores_of_gpu = max(1, most["CPU"] // most["GPU"]) if most["GPU"] else 1
        cpus = self.cpus or (cores_of_gpu if gpus else 1)
        for key, wanted, advice in (
            ("CPU", cpus, "Use fewer --cpus."),
            ("GPU", gpus, "Use fewer --gpus."),
        ):
            if not wanted <= most[key]:  # NaN is refused too
                raise ResourcesError(
                    f"Each training asks for {counted(wanted, key)}, but no node has more than "
                    f"{most[key]:g}. {advice}"
                )
        return {"CPU": cpus, "GPU": gpus}


def require_ray() -> None:
    """Set what Ray reads when it is imported; raise an ExtraMissingError without Ray."""
    for package in ("ray", "optuna"):
        if not find_spec(package):
            raise ExtraMissingError(package)
    for key, value in RAY_SETTINGS.items():
        os.environ.setdefault(key, value)
    if TOKEN_FILE.exists():  # a cluster that was started on this machine asks for it
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def start_ray(address: str | None) -> None:
    """Connect this process to the cluster at `address`, or start Ray on this machine."""
    import ray

    if address and re.fullmatch(r"[^/]+:\d+", address):
        check_port(address)
    try:
        ray.init(
            address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises a plain one if a busy machine is slow to start it
        doing = f"join the Ray cluster {address}" if address else "start Ray on this machine"
        raise ClusterUnreachableError(address, f"Cannot {doing}: {last_line(error)}") from None


def check_port(address: str) -> None:
    """Raise an error if nothing listens at "host:port"; Ray would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ClusterUnreachableError(
            address,
            f"No Ray cluster answers at {address} ({error}). Run `ray start --head` on its first "
            "node, which prints the address. Omit --address to use this machine.",
        ) from None


def check_nodes(project: ProjectPaths) -> None:
    """Raise an UnfitNodeError if a node has other versions or does not see the same files."""
    project.runs.mkdir(parents=True, exist_ok=True)
    token = project.runs / f"{NODE_CHECK}-{uuid.uuid4().hex}"
    token.touch()
    try:
        paths = [token, project.raw]
        here = node_facts(paths)
        for node, there in gather_facts(paths):
            for fact, value in here.items():
                if there[fact] != value:
                    message = difference_text(node, fact, value, there[fact])
                    raise UnfitNodeError(node, fact, message)
    finally:
        token.unlink(missing_ok=True)


def live_nodes() -> list[dict[str, Any]]:
    """Return what Ray knows about each node that is alive."""
    import ray

    nodes: Any = ray.nodes  # untyped
    return [node for node in nodes() if node["Alive"]]


def gather_facts(paths: list[Path]) -> list[tuple[str, dict[str, Any]]]:
    """Return the host name and the facts of each node of the cluster."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    facts = ray.remote(num_cpus=0, max_retries=0)(node_facts)
    answers = {}
    for node in live_nodes():
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        reference = facts.options(scheduling_strategy=strategy).remote(paths)
        answers[reference] = node["NodeManagerHostname"]
    gathered = []
    for reference, host in answers.items():
        try:
            gathered.append((host, ray.get(reference, timeout=CHECK_SECONDS)))
        except ray.exceptions.RayError as error:
            raise UnfitNodeError(
                host,
                "kaggle-cifar",
                f"The node {host} cannot run this program: {last_line(error)}. Install "
                f"kaggle-cifar[search] {__version__} there.",
            ) from None
    return gathered


def node_facts(paths: list[Path]) -> dict[str, Any]:
    """Return the versions on the machine that this runs on, and which paths it sees."""
    return {
        "Python": python_version(),
        "kaggle-cifar": __version__,
        **library_versions(),
        **{str(path): path.exists() for path in paths},
    }


def difference_text(node: str, fact: str, here: Any, there: Any) -> str:
    """Return the message for a version or path that differs on a node."""
    if isinstance(here, bool):
        folder = fact.rpartition(f"/{NODE_CHECK}")[0] or fact
        return (
            f"The node {node} does not see {folder} as this machine does. Use --runs-dir and "
            "--data-dir on storage that all nodes mount at the same path."
        )
    return (
        f"The node {node} has {fact} {there}, but this machine has {here}. Install the same "
        "version on all nodes, or results are not comparable."
    )
