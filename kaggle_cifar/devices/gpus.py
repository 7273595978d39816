"""The GPUs that TensorFlow, which must be started, can use, and how many share a training."""

from typing import TYPE_CHECKING, Any

from kaggle_cifar.console import say_error
from kaggle_cifar.devices.drivers import (
    gpus_are_hidden,
    has_apple_gpu,
    is_tpu_session,
    nvidia_driver,
)
from kaggle_cifar.devices.faults import TpuSessionError, UnusableGpuError, cause_of_missing_gpus
from kaggle_cifar.devices.probe import check_in_child, probe_gpus
from kaggle_cifar.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

LEAST_SHARE = 256  # images of a batch per GPU


class GpuInUseError(UserError):
    """The CPU was requested after TensorFlow began to use a GPU in this process."""

    def __init__(self) -> None:
        super().__init__(
            "TensorFlow already uses the GPU in this process. Restart Python, and use "
            "`--device cpu` in the first call."
        )


def visible_gpus() -> list[Any]:
    """Return the GPUs that TensorFlow may use."""
    import tensorflow as tf

    return list(tf.config.get_visible_devices("GPU"))


def gpu_names() -> list[str]:
    """Return the name of each GPU that TensorFlow may use."""
    import tensorflow as tf

    unnamed = "Apple GPU (Metal)" if has_apple_gpu() else "GPU"
    details = [tf.config.experimental.get_device_details(gpu) for gpu in visible_gpus()]
    return [detail.get("device_name", unnamed) for detail in details]


def training_strategy(batch_size: int) -> "tf.distribute.Strategy":
    """Return the strategy that shares each batch among as many GPUs as are worth it.

    Each GPU gets at least LEAST_SHARE images of a batch. With fewer, the exchange between the GPUs
    costs more than they gain, and one trains alone.
    """
    import tensorflow as tf

    count = min(len(visible_gpus()), batch_size // LEAST_SHARE)
    if count < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(count)])


def require_usable_devices() -> None:
    """Check that TensorFlow, which must be started, can use the GPUs that the machine has.

    Raises
    ------
    UnusableGpuError
        If it cannot. What it printed about them is then on standard error.
    TpuSessionError
        If the session has a TPU instead.
    """
    if gpus_are_hidden():
        return
    if visible_gpus():
        if fault := probe_gpus().operations_fault:
            cause = f"its operations fail ({fault}). Install a TensorFlow built for this GPU."
            raise UnusableGpuError(gpu_names(), cause)
        return
    if is_tpu_session():
        raise TpuSessionError
    if driver := nvidia_driver():
        found = check_in_child()
        say_error(found.said.rstrip())
        raise UnusableGpuError(list(driver.gpus), cause_of_missing_gpus(driver, found))
