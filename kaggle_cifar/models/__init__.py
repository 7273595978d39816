"""The networks: built by name from their files, or from a file of the user's own.

Takes a network's name and options, gives a Keras model from pixels to logits or probabilities.
Leaves the probabilities of images on disk, and notes which own networks the user has named.
"""

from kaggle_cifar.models.network import adapt, allow_image_size, build, flops, gives_logits
from kaggle_cifar.models.own_network import is_own
from kaggle_cifar.models.registry import NetworkError, names

__all__ = [
    "NetworkError",
    "adapt",
    "allow_image_size",
    "build",
    "flops",
    "gives_logits",
    "is_own",
    "names",
]
