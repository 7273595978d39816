"""The check of TensorFlow on GPUs that a process of its own runs, because it may end the process.

It prints each result as a line of JSON before it starts what follows. It is run as a file, so it
imports nothing of this package.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf


def main() -> None:
    """Print what TensorFlow finds, then whether its operations and XLA work on each GPU."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    gpus = tf.config.list_physical_devices("GPU")
    report("built_with_gpus", bool(tf.test.is_built_with_gpu_support()))
    report("cuda", str(build.get("cuda_version", "")))
    report(
        "gpus",
        [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus],
    )
    if not gpus:
        return
    report("operations_fault", fault_of(update, len(gpus)))
    report("xla_fault", fault_of(tf.function(update, autograph=False, jit_compile=True), len(gpus)))


def report(key: str, value: Any) -> None:
    """Print a result."""
    print(json.dumps({key: value}), flush=True)


def fault_of(function: "Callable[[tf.Tensor, tf.Tensor], tf.Tensor]", gpus: int) -> str:
    """Return why a function fails on one of the GPUs, or "" if it works on all."""
    import tensorflow as tf

    for number in range(gpus):
        try:
            with tf.device(f"GPU:{number}"):
                function(tf.ones((8, 8, 8, 16)), tf.ones((3, 3, 16, 16))).numpy()
        except Exception as error:  # any of TensorFlow's errors is a finding
            return f"{type(error).__name__}: {error}"
    return ""


def update(images: "tf.Tensor", filters: "tf.Tensor") -> "tf.Tensor":
    """Return a gradient through the kinds of operations that a training step has."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(filters)
        hidden = tf.nn.conv2d(images, filters, 1, "SAME")
        hidden = hidden * tf.math.erfc(-hidden)
        outputs = tf.matmul(tf.reshape(hidden, (8, -1)), tf.ones((1024, 10)))
        loss = tf.reduce_sum(tf.nn.log_softmax(outputs))
    return tape.gradient(loss, filters)


if __name__ == "__main__":
    main()
