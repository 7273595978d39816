"""GPUs that TensorFlow cannot use: the causes, and what to do about each."""

import os
import platform

from kaggle_cifar.devices.drivers import HIDING_VARIABLES, NvidiaDriver, is_container
from kaggle_cifar.devices.probe import Probe
from kaggle_cifar.errors import UserError

# NVIDIA, "CUDA Compatibility", minor version compatibility: CUDA's major version, and the first
# major version of the driver that runs it.
OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}
MISSING_LIBRARIES = ("Cannot dlopen some GPU libraries", "Could not find cuda drivers")
INSTALL = 'Run `pip install "kaggle-cifar[gpu]"`, or `make gpu` in a clone.'
ON_CPU = "Use `--device cpu` to continue on the CPU."


class UnusableGpuError(UserError):
    """The machine has GPUs, named in `gpus`, that TensorFlow cannot use; `cause` says why."""

    def __init__(self, gpus: list[str], cause: str) -> None:
        super().__init__(f"TensorFlow cannot use {', '.join(gpus)}: {cause} {ON_CPU}")
        self.gpus, self.cause = gpus, cause


class TpuSessionError(UserError):
    """The session has a TPU, which this program cannot use."""

    def __init__(self) -> None:
        super().__init__(
            "This session has a TPU, which kaggle-cifar cannot use. Choose a GPU: for example GPU "
            "T4 x2 as Accelerator on Kaggle, or T4 GPU as Runtime type on Colab. " + ON_CPU
        )


def cause_of_missing_gpus(driver: NvidiaDriver, found: Probe) -> str:
    """Return why TensorFlow finds none of the driver's GPUs, and the remedy."""
    visible = os.environ.get(HIDING_VARIABLES[0])
    if visible is not None:
        return (
            f"{HIDING_VARIABLES[0]}={visible} names none of them. Remove that variable from the "
            "environment."
        )
    if platform.system() == "Windows":
        return "TensorFlow uses no GPU on Windows. Install kaggle-cifar[gpu] in WSL2."
    if not driver.has_tools:
        if is_container():
            return (
                "this container was started without them. Start it with `docker run --gpus all` or "
                "`podman run --device nvidia.com/gpu=all`."
            )
        return "nvidia-smi is missing, so the driver is incomplete. Install NVIDIA's driver again."
    if driver.fault:
        return f"nvidia-smi fails ({driver.fault}). Restart the machine, or reinstall the driver."
    if found.gpus:
        return "it found them in another process. Restart Python."
    if not found.built_with_gpus:
        return f"the installed TensorFlow is a build for CPUs. Uninstall tensorflow-cpu. {INSTALL}"
    if is_too_old(driver.version, found.cuda):
        cuda = found.cuda.partition(".")[0]
        return (
            f"NVIDIA's driver {driver.version} is too old for CUDA {found.cuda}. Install version "
            f"{OLDEST_DRIVERS[int(cuda)]} or later."
        )
    if any(words in found.said for words in MISSING_LIBRARIES):
        return f"libraries of CUDA {found.cuda} are missing. {INSTALL}"
    return "TensorFlow printed the reason above."


def is_too_old(driver: str, cuda: str) -> bool:
    """Return whether a driver's version cannot run a version of CUDA; false if one is unknown."""
    driver, cuda = driver.partition(".")[0], cuda.partition(".")[0]
    if not (driver.isdigit() and cuda.isdigit()):
        return False
    return int(driver) < OLDEST_DRIVERS.get(int(cuda), 0)
