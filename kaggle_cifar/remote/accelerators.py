"""The accelerators on Kaggle: which one to ask for, and which of them are of no use.

Kaggle publishes no list of their names. It refuses some names, and silently replaces those that
are retired, which its client knows.
"""

from kaggle_cifar.errors import UserError

DEFAULT_ACCELERATOR = "NvidiaTeslaT4"  # two of them
ADVICE = f"Use --accelerator {DEFAULT_ACCELERATOR}, or leave --accelerator out."


class UnusableAcceleratorError(UserError):
    """An accelerator is of no use for a training; `name` is Kaggle's name of it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The accelerator {name} cannot be used: {reason} {ADVICE}")
        self.name = name


def check_runs_tensorflow(name: str) -> None:
    """Raise an UnusableAcceleratorError if TensorFlow cannot train on `name`."""
    if name.lower().startswith("tpu"):
        raise UnusableAcceleratorError(name, "Kaggle's images for TPUs have no TensorFlow.")
    if name.lower().startswith("nvidiartxpro6000"):  # compute capability 12
        raise UnusableAcceleratorError(name, "TensorFlow's XLA aborts the process on it.")


def check_is_offered(name: str) -> None:
    """Raise an UnusableAcceleratorError if the kaggle client, which is open, calls it retired."""
    from kaggle.api import kaggle_api_extended

    # A private part of the client, which another version may lack.
    retired = getattr(kaggle_api_extended, "_RETIRED_ACCELERATORS", {})
    if replacement := retired.get(name.lower()):
        raise UnusableAcceleratorError(name, f"it is retired. {replacement}")
