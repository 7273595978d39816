"""The configuration of TensorFlow: devices, precision, and what is recorded of the machine."""

import importlib
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kaggle_cifar import __version__
from kaggle_cifar.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


BACKEND = "tensorflow"
MixedPrecision = Literal["never", "where faster", "always"]

LIBRARIES = ("tensorflow", "keras", "numpy")  # results may depend on their versions
NEWEST_PYTHON = (3, 13)  # for which TensorFlow has a release

INSPECTION_TIMEOUT = 120.0  # seconds; the import of TensorFlow is slow on a slow disk
INSPECT = f"""
import importlib, json, os
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="{BACKEND}")
versions = {{name: importlib.import_module(name).__version__ for name in {LIBRARIES}}}
import tensorflow as tf
print(json.dumps({{"versions": versions, "gpus": len(tf.config.list_physical_devices("GPU"))}}))
"""

# Lines of native code below the level of an error, and the one about messages before its log opens.
NATIVE_INFORMATION = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl")


class BackendError(UserError):
    """Keras was imported with another backend than TensorFlow; `backend` is its name."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"Keras was imported with the backend {backend}, but {BACKEND} is required. "
            f"Restart Python with KERAS_BACKEND={BACKEND} in the environment."
        )
        self.backend = backend


class TensorFlowImportError(UserError):
    """TensorFlow cannot be imported; `reason` is Python's."""

    def __init__(self, reason: str) -> None:
        here = sys.version_info[:2]
        advice = "Run: pip install --force-reinstall tensorflow"
        if here > NEWEST_PYTHON:
            newest, found = (".".join(map(str, version)) for version in (NEWEST_PYTHON, here))
            advice = f"It has releases for Python 3.11 to {newest}. Use one of those, not {found}."
        super().__init__(f"TensorFlow cannot be imported ({reason}). {advice}")
        self.reason = reason


@dataclass(frozen=True)
class Inspection:
    """The versions of LIBRARIES by name, and the number of GPUs that TensorFlow finds."""

    versions: dict[str, str]
    gpus: int


def inspect_tensorflow() -> Inspection:
    """Import TensorFlow in another process and return what is installed.

    The versions are those of the modules, because the packages may have other names than these,
    such as tensorflow-cpu and keras-nightly.

    Raises
    ------
    TensorFlowImportError
        If the process fails.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", INSPECT],
            capture_output=True,
            text=True,
            timeout=INSPECTION_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TensorFlowImportError(type(error).__name__) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise TensorFlowImportError(lines[-1] if lines else f"exit status {done.returncode}")
    return Inspection(**json.loads(done.stdout.splitlines()[-1]))


def start_tensorflow() -> "tf.distribute.Strategy":
    """Import and configure TensorFlow; return the strategy for this machine's devices.

    Several GPUs train together (`MirroredStrategy`), and each allocates memory as needed. All
    operations are deterministic on a CPU. On a GPU that would be much slower.

    Raises
    ------
    BackendError
        If Keras was imported with another backend before.
    TensorFlowImportError
        If TensorFlow cannot be imported.
    """
    choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, at import
    with _native_output_discarded():
        try:
            import tensorflow as tf
        except ImportError as error:
            raise TensorFlowImportError(str(error)) from error

        tf.get_logger().setLevel("ERROR")
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.zeros(1)  # creates the devices, which prints as well
        use_default_settings()
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def choose_backend() -> None:
    """Make Keras use TensorFlow, whatever the environment or `keras.json` says.

    Raises
    ------
    BackendError
        If Keras was imported with another backend before.
    TensorFlowImportError
        If TensorFlow is not installed.
    """
    if not importlib.util.find_spec("tensorflow"):
        raise TensorFlowImportError("it is not installed")
    if "keras" in sys.modules:
        import keras

        if keras.backend.backend() != BACKEND:
            raise BackendError(keras.backend.backend())
        return
    asked = os.environ.get("KERAS_BACKEND") or BACKEND
    if asked != BACKEND:
        message = f"Warning: KERAS_BACKEND is {asked!r}. Using {BACKEND} instead."
        print(message, file=sys.stderr, flush=True)
    os.environ["KERAS_BACKEND"] = BACKEND  # overrides ~/.keras/keras.json


def use_default_settings() -> None:
    """Reset the settings of `keras.json` that change shapes and numbers.

    The global dtype policy stays as it is, because each network is built under its own.
    """
    import keras

    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def dtype_policy(mixed_precision: MixedPrecision) -> str:
    """Return the name of the Keras dtype policy for networks on this machine.

    The 16-bit type is bfloat16 on a CPU and on GPUs that support it (NVIDIA's compute capability
    8.0 and up), and float16 on older GPUs.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if mixed_precision == "always" or (
        mixed_precision == "where faster" and _is_faster_in_16_bits(gpus)
    ):
        return _policy_of_16_bits(gpus)
    return "float32"


@contextmanager
def native_information_discarded() -> Iterator[None]:
    """Discard the messages of native code that are no errors, and print the others afterwards.

    TensorFlow 2.20 prints them in spite of its log level.
    """
    with tempfile.TemporaryFile() as printed:
        try:
            with _standard_error_to(printed.fileno()):
                yield
        finally:
            printed.seek(0)
            kept = [line for line in printed if not NATIVE_INFORMATION.match(line)]
            os.write(2, b"".join(kept))


@contextmanager
def _native_output_discarded() -> Iterator[None]:
    """Discard all that native code prints to standard error in spite of TensorFlow's log level."""
    with Path(os.devnull).open("wb") as nowhere, _standard_error_to(nowhere.fileno()):
        yield


@contextmanager
def _standard_error_to(descriptor: int) -> Iterator[None]:
    """Send what native code prints to standard error to another open file."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _policy_of_16_bits(gpus: list[Any]) -> str:
    if all(capability >= (8, 0) for capability in _compute_capabilities(gpus)):
        return "mixed_bfloat16"
    return "mixed_float16"


def _is_faster_in_16_bits(gpus: list[Any]) -> bool:
    """Return whether all GPUs have tensor cores or, without GPUs, the CPU supports bfloat16."""
    if gpus:
        return all(capability >= (7, 0) for capability in _compute_capabilities(gpus))
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_processor_flags())


def _compute_capabilities(gpus: list[Any]) -> list[tuple[int, int]]:
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [detail.get("compute_capability", (0, 0)) for detail in details]


def describe_environment() -> dict[str, Any]:
    """Return the machine and the versions, on which the result of a run may depend."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return {
        "machine": {
            "platform": platform.platform(),
            "processor": _processor_name(),
            "cores": os.cpu_count(),
            "gpus": [detail.get("device_name", "GPU") for detail in details],
        },
        "python": platform.python_version(),
        "packages": {
            "kaggle-cifar": __version__,  # not installed on Kaggle's machines
            **{name: importlib.import_module(name).__version__ for name in LIBRARIES},
        },
    }


def _processor_name() -> str:
    """Return the processor's name; `platform.processor()` is empty on most Linux systems."""
    return _processor_fact("model name") or platform.processor() or platform.machine()


def _processor_flags() -> set[str]:
    """Return the names of the processor's extensions, on Linux."""
    return set(_processor_fact("flags").split())


def _processor_fact(name: str) -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            line = next(line for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return ""
    return line.partition(":")[2].strip()
