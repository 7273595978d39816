"""The recipes of airbench, after Keller Jordan (arXiv 2404.00498) and his cifar10-airbench."""

import dataclasses

from kaggle_cifar.recipes.augmentation import Augmentation
from kaggle_cifar.recipes.schedules import ProgressiveResizing, TriangularSchedule
from kaggle_cifar.recipes.schema import (
    SGD,
    Lookahead,
    Muon,
    ProxyFiltering,
    Recipe,
)


def airbench84() -> Recipe:
    """More than the student project reached, within a minute on two cores.

    Two short epochs of airbench's network with two fifths of its parameters. Muon trains the
    convolutions (airbench94_muon.py of cifar10-airbench), in small batches, at a learning rate
    that only falls.
    """
    return dataclasses.replace(
        airbench94(),
        name="airbench84",
        network_options={"widths": [32, 64, 256]},
        optimizer="muon",
        learning_rate=0.75,
        muon=Muon(learning_rate=0.24, momentum=0.6),
        batch_size=512,
        epochs=2,
        schedule=TriangularSchedule(start=1, peak=0, end=0),
        lookahead=None,
        whitening_bias_epochs=0,
    )


def airbench94() -> Recipe:
    """The smallest of airbench's recipes: published 94.01 % with TTA on 50,000 images."""
    return Recipe(
        name="airbench94",
        network="airbench",
        optimizer="sgd",
        learning_rate=1.5,
        batch_size=1024,
        epochs=9.9,
        sgd=SGD(momentum=0.85, weight_decay=1.330e-3, bias_scaler=64),
        schedule=TriangularSchedule(start=0.2, peak=0.23, end=0.07),
        lookahead=Lookahead(),
        label_smoothing=0.2,
        augmentation=Augmentation(flip="alternating", translate=2),
        drop_last=True,
        whitening_bias_epochs=3,
        mixed_precision=True,
        xla=True,
    )


def airbench95() -> Recipe:
    """The middle one of airbench's recipes: published 95.01 % with TTA on 50,000 images."""
    return dataclasses.replace(
        airbench94(),
        name="airbench95",
        network_options={"widths": [128, 384, 384]},
        learning_rate=1.304,
        sgd=SGD(momentum=0.85, weight_decay=1.53e-3, bias_scaler=64),
        epochs=15,
    )


def airbench96() -> Recipe:
    """The largest of airbench's recipes: published 96.03 % with TTA on 50,000 images."""
    return dataclasses.replace(
        airbench94(),
        name="airbench96",
        network_options={"widths": [128, 384, 512], "convs_per_block": 3, "bn_momentum": 0.9},
        learning_rate=1.174,
        sgd=SGD(momentum=0.85, weight_decay=1.333e-3, bias_scaler=64),
        schedule=TriangularSchedule(start=0.2, peak=0.1, end=0),
        augmentation=Augmentation(flip="alternating", translate=4, cutout=12),
        epochs=37,
    )


def airbench97() -> Recipe:
    """A larger airbench96 with progressive resizing and proxy filtering, for 100 epochs.

    The proxy and its settings are those of airbench96_faster.py in cifar10-airbench.
    """
    return dataclasses.replace(
        airbench96(),
        name="airbench97",
        network_options={"widths": [192, 576, 768], "convs_per_block": 3, "bn_momentum": 0.9},
        learning_rate=1.04,
        sgd=SGD(momentum=0.85, weight_decay=1.33e-3, bias_scaler=64),
        progressive_resizing=ProgressiveResizing(size=24, share=0.3),
        filtering=ProxyFiltering(network_options={"widths": [32, 64, 64]}, share=0.5, every=4),
        epochs=100,
    )
