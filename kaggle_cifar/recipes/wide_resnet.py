"""The recipe of a wide residual network that is meant for the top of the leaderboard."""

from kaggle_cifar.recipes.augmentation import Augmentation
from kaggle_cifar.recipes.schedules import CosineSchedule, Sharpness
from kaggle_cifar.recipes.schema import SGD, Recipe


def leaderboard() -> Recipe:
    """WRN-16-8 with ASAM and AutoAugment, for a large GPU. Its accuracy is not measured.

    The network, ASAM, batch size, learning rate and L2 are those of davda54/sam, which published
    97.45 % with cutout alone. The augmentation, Nesterov momentum and the cosine are those of
    AutoAugment (arXiv 1805.09501) and its authors' code.
    """
    return Recipe(
        name="leaderboard",
        network="wide_resnet",
        network_options={"depth": 16, "width": 8},
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=128,
        epochs=200,
        sgd=SGD(momentum=0.9, weight_decay=5e-4, bias_scaler=1),
        schedule=CosineSchedule(),
        sharpness=Sharpness(rho=2.0, adaptive=True),
        label_smoothing=0.1,
        augmentation=Augmentation(
            flip="random",
            translate=4,
            cutout=16,
            edges="mean",
            cutout_overhang=True,
            policy="auto",
        ),
        drop_last=True,
        mixed_precision=True,
        xla=True,
    )
