"""Functions that run on the nodes of a Ray cluster and are started again if they die."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kaggle_cifar.devices.drivers import hide_gpus
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError

T = TypeVar("T")

Task = tuple[Callable[..., object], tuple[Any, ...]]  # a function and its arguments

TRIES = 4  # of a training whose process or node dies
BUSY_SECONDS = 60.0  # until the lock of a process that was killed is free


class TasksFailedError(UserError):
    """Some tasks failed; `failures` holds a message for each."""

    def __init__(self, failures: list[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = failures


def run_tasks(
    tasks: Mapping[str, Task],
    resources: Mapping[str, float],
    watch: Callable[[], None],
    note: Callable[[str], None],
) -> None:
    """Call all functions on the cluster, as many at once as it has room for.

    A task whose process or node dies is started again, on another node if necessary. `note` gets
    a line for the user then. `watch` is called about once a second.

    Raises
    ------
    TasksFailedError
        If a task raised a UserError or died in every try. The others finish first.
    """
    pool = TaskPool(tasks, resources, note)
    for name in tasks:
        pool.start(name)
    while pool.running:
        pool.collect()
        watch()
    if pool.failures:
        raise TasksFailedError(pool.failures)


class TaskPool:
    """The tasks that are running on a cluster."""

    def __init__(
        self, tasks: Mapping[str, Task], resources: Mapping[str, float], note: Callable[[str], None]
    ) -> None:
        import ray

        self.tasks, self.note = tasks, note
        self.remote = ray.remote(
            num_cpus=resources["CPU"], num_gpus=resources["GPU"], max_retries=0, max_calls=1
        )(call_on_node)
        self.running: dict[Any, str] = {}  # names by Ray's references
        self.tries = dict.fromkeys(tasks, 0)
        self.failures: list[str] = []

    def start(self, name: str) -> None:
        """Start a task for the first time or again."""
        self.tries[name] += 1
        self.running[self.remote.remote(*self.tasks[name])] = name

    def collect(self) -> None:
        """Wait a second for tasks that end; start those again that died."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        done, _ = ray.wait(list(self.running), timeout=1.0)
        for reference in done:
            name = self.running.pop(reference)
            try:
                failure = ray.get(reference)
            except RayTaskError:  # an error in this program
                raise
            except RayError as error:
                self._retry(name, last_line(error))
                continue
            if failure:
                self.failures.append(failure)

    def _retry(self, name: str, reason: str) -> None:
        if self.tries[name] == TRIES:
            self.failures.append(f"{name} died {TRIES} times: {reason}.")
        else:
            self.note(retry_message(name, reason, self.tries[name] + 1))
            self.start(name)


def retry_message(name: str, reason: str, number: int) -> str:
    """Return the line for a training that is started again."""
    return f"{name} died ({reason}). Resuming it, try {number} of {TRIES}."


def last_line(error: object) -> str:
    """Return the last line of an error's text, which holds the cause in Ray's errors."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def call_on_node(function: Callable[..., object], arguments: tuple[Any, ...]) -> str | None:
    """Call a function in a process of the cluster; return the message of its UserError, if any.

    The error itself may not survive pickling.
    """
    limit_tensorflow()
    try:
        retry_while_busy(lambda: function(*arguments))
    except UserError as error:
        return error.message
    return None


def limit_tensorflow() -> None:
    """Limit TensorFlow, before it starts, to the cores and GPUs that Ray assigned."""
    import ray

    context: Any = ray.get_runtime_context()  # untyped
    assigned = context.get_assigned_resources()
    for key in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[key] = str(max(1, int(assigned.get("CPU", 1))))
    if not assigned.get("GPU"):
        hide_gpus()


def retry_while_busy(function: Callable[[], T]) -> T:
    """Call `function` until no other process holds the lock that it needs.

    The driver of a search may have been killed a moment ago, while its processes still end.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return function()
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
