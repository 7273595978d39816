"""The configuration of TensorFlow: devices, precision, and what is recorded of the machine."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kaggle_cifar import __version__
from kaggle_cifar.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


BACKEND = "tensorflow"
MixedPrecision = Literal["never", "where faster", "always"]


class BackendError(UserError):
    """Keras was imported with another backend than TensorFlow; `backend` is its name."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"Keras was imported with the backend {backend}, but {BACKEND} is required. "
            f"Restart Python with KERAS_BACKEND={BACKEND} in the environment."
        )
        self.backend = backend


def start_tensorflow() -> "tf.distribute.Strategy":
    """Import and configure TensorFlow; return the strategy for this machine's devices.

    Several GPUs train together (`MirroredStrategy`), and each allocates memory as needed. All
    operations are deterministic on a CPU. On a GPU that would be much slower.

    Raises
    ------
    BackendError
        If Keras was imported with another backend before.
    """
    choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, at import
    with _native_output_discarded():
        import tensorflow as tf

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
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if mixed_precision == "always" or (
        mixed_precision == "where faster" and _is_faster_in_16_bits(gpus)
    ):
        return _policy_of_16_bits(gpus)
    return "float32"


@contextmanager
def _native_output_discarded() -> Iterator[None]:
    """Discard what native code prints to standard error in spite of TensorFlow's log level."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


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
    packages = ("tensorflow", "keras", "numpy")
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
            **{package: version(package) for package in packages},
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
