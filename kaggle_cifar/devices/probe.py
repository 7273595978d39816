"""Whether TensorFlow's operations and XLA work here: one probe for the whole program.

With a GPU, either may abort the process, which no `except` catches: with compute capability 12,
TensorFlow 2.21 does so inside XLA. Then a process of its own finds out, once for a machine.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_cifar.devices.drivers import nvidia_module_version
from kaggle_cifar.devices.native_output import native_information_discarded
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import write_record
from kaggle_cifar.ownership import RESERVED, read_record

# -P: the folder of the file must not hide modules.
CHECK = (sys.executable, "-P", str(Path(__file__).with_name("check.py")))
CHECK_SECONDS = 600.0  # the driver may have to compile TensorFlow's kernels for a new GPU
RECORD = "device check"
LONGEST_FAULT = 200  # characters
FATAL = re.compile(r"^F\d{4} |LLVM ERROR|Fatal|Check failed")


@dataclass(frozen=True)
class Probe:
    """What another process found about TensorFlow; a fault is "" if there is none."""

    gpus: list[str] = field(default_factory=list)  # names
    built_with_gpus: bool = False  # whether this TensorFlow could use any
    cuda: str = ""  # the version that this TensorFlow is built for
    operations_fault: str = ""
    xla_fault: str = ""
    said: str = ""  # what TensorFlow printed to standard error


@functools.cache
def xla_fault() -> str:
    """Return why XLA does not work on the devices of this process, or "" if it does.

    TensorFlow must be started. Without a GPU, XLA compiles a tiny function in this process.
    """
    import tensorflow as tf

    if tf.config.get_visible_devices("GPU"):
        return probe_gpus().xla_fault
    compiled = tf.function(tf.math.erfc, autograph=False, jit_compile=True)
    try:
        # The first use of XLA in a process prints a message.
        with native_information_discarded(), tf.init_scope():
            compiled(tf.zeros(1))
    except tf.errors.OpError as error:  # builds for Windows have no XLA
        return shortened(f"{type(error).__name__}: {error}")
    return ""


@functools.cache
def probe_gpus() -> Probe:
    """Return what the check in another process found, kept for this machine and TensorFlow.

    TensorFlow must be started, with a GPU.
    """
    file = kept_file()
    return (file and read_kept(file)) or renew_probe()


def renew_probe() -> Probe:
    """Run the check in another process and keep its result; TensorFlow must be started."""
    for function in (probe_gpus, xla_fault):
        function.cache_clear()
    found = check_in_child()
    if not found.gpus:  # a GPU may allow only one process
        fault = found.xla_fault or "the process that checks it found no GPU"
        return dataclasses.replace(found, xla_fault=fault)
    if file := kept_file():
        with contextlib.suppress(OSError, UserError):  # a home that cannot be written to
            write_record(file, RECORD, dataclasses.asdict(found))
    return found


def read_kept(file: Path) -> Probe | None:
    """Return the result in a file, or None if there is none."""
    try:
        content = read_record(file, RECORD)
        return Probe(**content) if content else None
    except (UserError, TypeError):
        return None


def kept_file() -> Path | None:
    """Return the file for the result on these GPUs with this TensorFlow; None without a home."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    details = [str(tf.config.experimental.get_device_details(gpu)) for gpu in gpus]
    flags = os.environ.get("XLA_FLAGS", "")
    facts = [tf.__version__, sys.prefix, platform.node(), nvidia_module_version(), flags, *details]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    try:
        return Path.home() / RESERVED / "devices" / f"{digest[:16]}.json"
    except RuntimeError:
        return None


def check_in_child(command: Sequence[str] = CHECK, seconds: float = CHECK_SECONDS) -> Probe:
    """Run the check in another process; return what it found up to its end."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        end = f"the check took more than {seconds:.0f} s"
        return read_results(error.stdout or b"", error.stderr or b"", "", end)
    except OSError as error:
        return Probe(xla_fault=f"the check could not start: {error}")
    said = done.stderr.decode(errors="replace")
    end = f"it ends the process ({name_of_status(done.returncode)}): {cause_of_end(said)}"
    end = end if done.returncode else ""
    return read_results(done.stdout, done.stderr, end, end)


def read_results(
    printed: bytes, said: bytes, missing_operations_fault: str, missing_xla_fault: str
) -> Probe:
    """Return the results that the check printed, with a fault for each that it did not print."""
    results: dict[str, Any] = {}
    for line in printed.decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError):  # a library may print as well
            results.update(json.loads(line))
    if results.get("gpus"):
        results.setdefault("operations_fault", missing_operations_fault)
    results.setdefault("xla_fault", missing_xla_fault)
    for key in {"operations_fault", "xla_fault"} & results.keys():
        results[key] = shortened(results[key])
    return Probe(**results, said=said.decode(errors="replace"))


def name_of_status(status: int) -> str:
    """Return the name of the signal that a negative exit status stands for, or the status."""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"status {status}"


def cause_of_end(said: str) -> str:
    """Return the line of standard error that names a fatal error, or the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fatal = [line for line in lines if FATAL.search(line)]
    return (fatal or lines or ["it printed nothing"])[-1]


def shortened(fault: str) -> str:
    """Return the first line of a fault, cut to a readable length."""
    line = fault.strip().partition("\n")[0]
    return line if len(line) <= LONGEST_FAULT else f"{line[:LONGEST_FAULT]}…"
