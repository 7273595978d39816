"""Many trainings at once, on this machine's cores and GPUs or on a cluster, by Ray."""

import logging
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from platform import python_version
from typing import Any, TypeVar

from kaggle_cifar import __version__
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED
from kaggle_cifar.storage import BusyError, Layout

T = TypeVar("T")

TRIES = 4  # of a training whose process or node dies
BUSY_SECONDS = 60.0  # until a process whose leader died has ended
CONNECT_SECONDS = 10.0
CHECK_SECONDS = 120.0  # until a node answers, the start of a process there included
TOKEN_FILE = Path(os.path.expanduser("~/.ray/auth_token"))  # noqa: PTH111 - there may be no home
NODE_CHECK = f"{RESERVED}.node-check"  # how the names of files begin that all nodes must see
COMPARED = ("tensorflow", "keras", "numpy")  # versions that may change a result
RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told what is done here
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # `use_given_share` hides the GPUs
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends this program as any other
}


@dataclass(frozen=True)
class Cluster:
    """Where many trainings run and what each of them gets; no address is this machine."""

    address: str | None = None
    cpus: int | None = None
    gpus: float | None = None

    @contextmanager
    def connected(self, layout: Layout) -> Iterator[dict[str, float]]:
        """Join the cluster, or start Ray here; yield what a training gets, in Ray's names.

        Raises
        ------
        UserError
            When Ray is not installed, there is no cluster at the address, one of its nodes has
            other versions or does not see the folders, or none has as much as was asked for.
        """
        require_ray()
        start_ray(self.address)
        import ray

        try:
            refuse_unfit_nodes(layout)
            yield self._share()
        finally:
            ray.shutdown()

    def _share(self) -> dict[str, float]:
        """Return the cores and GPUs of a training: what was asked for, or a core or a GPU."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = {key: max(node.get(key, 0) for node in nodes) for key in ("CPU", "GPU")}
        gpus = float(most["GPU"] > 0) if self.gpus is None else self.gpus
        cores_of_gpu = max(1, most["CPU"] // most["GPU"]) if most["GPU"] else 1
        cpus = self.cpus or (cores_of_gpu if gpus else 1)
        for key, wanted in (("CPU", cpus), ("GPU", gpus)):
            if not wanted <= most[key]:  # nor NaN
                raise UserError(
                    f"A training was to get {wanted:g} {key}s; it stays on one node, and none "
                    f"has more than {most[key]:g}. Give --{key.lower()}s fewer."
                )
        return {"CPU": cpus, "GPU": gpus}


def require_ray() -> None:
    """Set what Ray reads when it is imported; raise a UserError where it is not installed."""
    for package in ("ray", "optuna"):
        if not find_spec(package):
            raise UserError(
                f"This needs the extra `search`, and its package {package} is missing: "
                "pip install 'kaggle-cifar[search]'."
            )
    for key, value in RAY_SETTINGS.items():
        os.environ.setdefault(key, value)
    if TOKEN_FILE.exists():  # a cluster that was started where it is asks for it
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def start_ray(address: str | None) -> None:
    """Connect this process to the cluster at `address`, or to one that it starts."""
    import ray

    if address and re.fullmatch(r"[^/]+:\d+", address):
        refuse_unreachable(address)
    try:
        ray.init(
            address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray cannot join the cluster {address}: {error}") from None


def refuse_unreachable(address: str) -> None:
    """Raise a UserError where nothing listens at "host:port"; Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({error}). `ray start --head` prints the "
            "address of a cluster's first node; without --address, Ray starts on this machine."
        ) from None


def refuse_unfit_nodes(layout: Layout) -> None:
    """Raise a UserError if a node has other versions than this one, or does not see its files."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    layout.runs.mkdir(parents=True, exist_ok=True)
    token = layout.runs / f"{NODE_CHECK}-{uuid.uuid4().hex}"
    token.touch()
    try:
        look = ray.remote(num_cpus=0, max_retries=0)(describe_node)
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        answers = {
            node: look.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote([token, layout.raw])
            for node in nodes
        }
        own = describe_node([token, layout.raw])
        for node, answer in answers.items():
            where = nodes[node]["NodeManagerHostname"]
            try:
                found = ray.get(answer, timeout=CHECK_SECONDS)
            except ray.exceptions.RayError as error:
                raise UserError(
                    f"The node {where} cannot run this program: {last_line(error)}. Install "
                    "kaggle-cifar[search] there, in the version that is here."
                ) from None
            for name, here in own.items():
                if found[name] != here:
                    raise UserError(difference(where, name, here, found[name]))
    finally:
        token.unlink(missing_ok=True)


def describe_node(paths: list[Any]) -> dict[str, Any]:
    """Return the versions on the machine that this runs on, and which paths it sees."""
    packages = {}
    for package in COMPARED:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = "none"
    return {
        "Python": python_version(),
        "kaggle-cifar": __version__,
        **packages,
        **{str(path): path.exists() for path in paths},
    }


def difference(where: str, name: str, here: Any, there: Any) -> str:
    """Return the sentence for something that a node has otherwise than this machine."""
    if isinstance(here, bool):
        folder = name.rpartition(f"/{NODE_CHECK}")[0] or name
        return (
            f"The node {where} does not see {folder} as this machine does. Runs and data must lie "
            "on storage that all nodes reach under the same path: --runs-dir and --data-dir."
        )
    return (
        f"The node {where} has {name} {there}, this machine has {here}: results would not be "
        "comparable. Install the same version on all nodes."
    )


def last_line(error: Any) -> str:
    """Return the last line of an error's text, which for Ray's is the cause."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def use_given_share() -> None:
    """Bound TensorFlow to the cores and GPUs that Ray gave this process; before it starts."""
    import ray

    given = ray.get_runtime_context().get_assigned_resources()
    for key in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[key] = str(max(1, int(given.get("CPU", 1))))
    if not given.get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def run_tasks(
    tasks: Mapping[str, tuple[Callable[..., object], tuple[Any, ...]]],
    resources: Mapping[str, float],
    watch: Callable[[], None],
    note: Callable[[str], None],
) -> None:
    """Call all functions on the cluster, at once as far as it has room; `watch` now and then.

    A task whose process or node dies is tried again, on another node where that is gone; `note`
    is given a line that says so.

    Raises
    ------
    UserError
        When a task raised one, after the others have ended; when one died every time.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote = ray.remote(
        num_cpus=resources["CPU"], num_gpus=resources["GPU"], max_retries=0, max_calls=1
    )(call)
    tries = dict.fromkeys(tasks, 1)
    running = {remote.remote(*task): name for name, task in tasks.items()}
    failures = []
    while running:
        done, _ = ray.wait(list(running), timeout=1.0)
        watch()
        for reference in done:
            name = running.pop(reference)
            try:
                ray.get(reference)
            except RayTaskError as error:
                if not isinstance(error.cause, UserError):
                    raise
                failures.append(error.cause)
            except RayError as error:
                if tries[name] == TRIES:
                    failures.append(
                        UserError(f"{name} broke off {TRIES} times: {last_line(error)}")
                    )
                    continue
                tries[name] += 1
                note(retry_message(name, error, tries[name]))
                running[remote.remote(*tasks[name])] = name
    if failures:
        raise UserError("\n".join(str(failure) for failure in failures))


def retry_message(name: str, error: Any, number: int) -> str:
    """Return the line for a training that is tried again."""
    return f"{name} broke off ({last_line(error)}): it goes on, try {number} of {TRIES}."


def call(function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """Call a function in a process of the cluster."""
    use_given_share()
    patiently(lambda: function(*arguments))


def patiently(begin: Callable[[], T]) -> T:
    """Call `begin` until no other process holds what it needs.

    Whoever led a training may have died a moment ago, and its process be still about to end.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return begin()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
