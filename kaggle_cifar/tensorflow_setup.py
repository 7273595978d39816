"""The configuration of TensorFlow: devices, precision, and what is recorded of the machine."""

import contextlib
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from kaggle_cifar import __version__
from kaggle_cifar.devices.drivers import gpus_are_hidden, has_amd_gpu, has_apple_gpu
from kaggle_cifar.devices.gpus import GpuInUseError, gpu_names, visible_gpus
from kaggle_cifar.devices.native_output import native_output_held_back
from kaggle_cifar.errors import UserError

BACKEND = "tensorflow"
MixedPrecision = Literal["never", "where faster", "always"]

LIBRARIES = ("tensorflow", "keras", "numpy")  # results may depend on their versions
NEWEST_PYTHON = (3, 13)  # for which TensorFlow has a release

IMPORT_SECONDS = 120.0  # the import of TensorFlow is slow on a slow disk
PRINT_VERSIONS = f"""
import importlib, json, os
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="{BACKEND}")
print(json.dumps({{name: importlib.import_module(name).__version__ for name in {LIBRARIES}}}))
"""


class BackendError(UserError):
    """Keras was imported with another backend than TensorFlow; `backend` is its name."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"Keras was imported with the backend {backend}, but {BACKEND} is required. "
            f"Restart Python with KERAS_BACKEND={BACKEND} in the environment."
        )
        self.backend = backend


class TensorFlowStartError(UserError):
    """TensorFlow cannot be imported, or it cannot create its devices; `reason` is its own."""

    def __init__(self, reason: str) -> None:
        here = sys.version_info[:2]
        advice = "Run `kaggle-cifar doctor` to see the versions, and install TensorFlow again."
        if here > NEWEST_PYTHON:
            newest, found = (".".join(map(str, version)) for version in (NEWEST_PYTHON, here))
            advice = f"It has releases for Python 3.11 to {newest}. Use one of those, not {found}."
        elif "metal" in reason:
            advice = "Run `pip uninstall tensorflow-metal`, which does not support this TensorFlow."
        super().__init__(f"TensorFlow cannot start ({reason}). {advice}")
        self.reason = reason


def library_versions() -> dict[str, str]:
    """Import LIBRARIES in another process and return their versions.

    They are those of the modules, because the packages may have other names than these, such as
    tensorflow-cpu and keras-nightly.

    Raises
    ------
    TensorFlowStartError
        If the process fails.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", PRINT_VERSIONS],
            capture_output=True,
            text=True,
            timeout=IMPORT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise TensorFlowStartError(type(error).__name__) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise TensorFlowStartError(lines[-1] if lines else f"exit status {done.returncode}")
    versions: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return versions


def start_tensorflow() -> None:
    """Import and configure TensorFlow.

    GPUs allocate memory as needed. All operations are deterministic on a CPU. On a GPU that would
    be much slower.

    Raises
    ------
    BackendError
        If Keras was imported with another backend before.
    GpuInUseError
        If the GPUs were hidden after TensorFlow began to use them.
    TensorFlowStartError
        If TensorFlow cannot start. What it printed is then on standard error.
    """
    choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, at import
    held_back = contextlib.nullcontext() if _started else native_output_held_back()
    try:
        with held_back:
            _configure()
    except UserError:
        raise
    except Exception as error:  # a damaged installation may raise anything
        reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise TensorFlowStartError(f"{type(error).__name__}: {reason}") from error
    _started.append(True)


_started: list[bool] = []  # what TensorFlow prints is held back the first time only


def _configure() -> None:
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    if gpus_are_hidden():
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise GpuInUseError from None
    gpus = visible_gpus()
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # the user's own code has started TensorFlow
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.zeros(1)  # creates the devices, which prints as well
    use_default_settings()
    if not gpus:
        tf.config.experimental.enable_op_determinism()


def choose_backend() -> None:
    """Make Keras use TensorFlow, whatever the environment or `keras.json` says.

    Raises
    ------
    BackendError
        If Keras was imported with another backend before.
    """
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
    gpus = visible_gpus()
    if mixed_precision == "always" or (
        mixed_precision == "where faster" and _is_faster_in_16_bits(gpus)
    ):
        return _policy_of_16_bits(gpus)
    return "float32"


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


def describe_devices(used: int = 1) -> str:
    """Return the names of the devices of which TensorFlow uses the first `used`."""
    names = gpu_names()
    if not names:
        return f"the CPU ({_processor_name()}, {os.cpu_count()} cores{_why_no_gpu()})"
    text = ", ".join(names[:used])
    return text if used == len(names) else f"{text} ({used} of {len(names)} GPUs)"


def _why_no_gpu() -> str:
    if gpus_are_hidden():
        return "; GPUs are hidden"
    if has_apple_gpu():
        return "; Apple's GPU needs tensorflow-metal"
    return "; AMD's GPU needs tensorflow-rocm" if has_amd_gpu() else ""


def describe_environment() -> dict[str, Any]:
    """Return the machine and the versions, on which the result of a run may depend."""
    return {
        "machine": {
            "platform": platform.platform(),
            "processor": _processor_name(),
            "cores": os.cpu_count(),
            "gpus": gpu_names(),
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
