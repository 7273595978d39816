"""TensorFlow made ready: quiet, repeatable on a CPU, careful with a GPU's memory."""

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
    """Keras was imported with a backend that this program cannot use; `backend` names it."""

    def __init__(self, backend: str) -> None:
        super().__init__(
            f"Keras was imported with the backend {backend} before this program could choose "
            f"{BACKEND}. Start Python again with KERAS_BACKEND={BACKEND} in the environment."
        )
        self.backend = backend


def start_tensorflow() -> "tf.distribute.Strategy":
    """Import and configure TensorFlow; return the strategy over this machine's devices.

    Several GPUs work as one (`MirroredStrategy`), each with memory that grows as needed. On a
    CPU all operations are deterministic; on a GPU that would cost much speed.

    Raises
    ------
    BackendError
        When Keras was imported with another backend before.
    """
    choose_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, at import
    with _native_chatter_dropped():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.zeros(1)  # creates the devices, which chat too
    if not gpus:
        tf.config.experimental.enable_op_determinism()
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def choose_backend() -> None:
    """Make Keras use TensorFlow, whatever the environment or Keras' configuration say.

    Raises
    ------
    BackendError
        When Keras was imported with another backend before.
    """
    if "keras" in sys.modules:
        import keras

        if keras.backend.backend() != BACKEND:
            raise BackendError(keras.backend.backend())
        return
    asked = os.environ.get("KERAS_BACKEND") or BACKEND
    if asked != BACKEND:
        message = f"KERAS_BACKEND is {asked!r}. This program needs {BACKEND}, and uses it."
        print(message, file=sys.stderr, flush=True)
    os.environ["KERAS_BACKEND"] = BACKEND  # it counts before ~/.keras/keras.json


def dtype_policy(mixed_precision: MixedPrecision) -> str:
    """Return the name of the Keras policy in which networks compute on this machine.

    In 16 bits, activations are bfloat16 on a CPU and on GPUs that multiply it fast (NVIDIA's
    compute capability 8.0 and up), float16 on older GPUs.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if mixed_precision == "always" or (
        mixed_precision == "where faster" and _is_faster_in_16_bits(gpus)
    ):
        return _policy_of_16_bits(gpus)
    return "float32"


@contextmanager
def _native_chatter_dropped() -> Iterator[None]:
    """Drop what native code prints to standard error; TensorFlow's log level stops only some."""
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
    """Return whether GPUs have tensor cores, or else the CPU multiplies bfloat16 itself."""
    if gpus:
        return all(capability >= (7, 0) for capability in _compute_capabilities(gpus))
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_processor_flags())


def _compute_capabilities(gpus: list[Any]) -> list[tuple[int, int]]:
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return [detail.get("compute_capability", (0, 0)) for detail in details]


def describe_environment() -> dict[str, Any]:
    """Return what a run's result may depend on besides its recipe: machine and versions."""
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
            "kaggle-cifar": __version__,  # which on Kaggle's machines is not installed
            **{package: version(package) for package in packages},
        },
    }


def _processor_name() -> str:
    """Return the processor's name; `platform.processor()` is empty on most Linux systems."""
    return _processor_fact("model name") or platform.processor() or platform.machine()


def _processor_flags() -> set[str]:
    """Return the names of the processor's extensions, as far as the system tells them."""
    return set(_processor_fact("flags").split())


def _processor_fact(name: str) -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            line = next(line for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return ""
    return line.partition(":")[2].strip()
