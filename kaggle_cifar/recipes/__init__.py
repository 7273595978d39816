"""The recipes: network, optimizer, schedule and stopping rule under one name.

Takes a recipe's name or a JSON file, gives a frozen `Recipe`, leaves nothing on disk. A recipe
never changes once it has results. A changed recipe gets another name.
"""

from kaggle_cifar.recipes.airbench import (
    airbench84,
    airbench94,
    airbench95,
    airbench96,
    airbench97,
)
from kaggle_cifar.recipes.augmentation import Augmentation, Mix
from kaggle_cifar.recipes.changes import change_recipe
from kaggle_cifar.recipes.lookup import (
    BETTER_THAN_DEFAULT,
    DEFAULT,
    RECIPES,
    find_recipe,
)
from kaggle_cifar.recipes.schedules import (
    CosineSchedule,
    EarlyStopping,
    ExponentialDecay,
    Phase,
    ProgressiveResizing,
    ReduceLROnPlateau,
    Sharpness,
    TriangularSchedule,
)
from kaggle_cifar.recipes.schema import (
    MOST_EPOCHS,
    SGD,
    Lookahead,
    Muon,
    ProxyFiltering,
    Recipe,
    check_same_network,
)
from kaggle_cifar.recipes.student import (
    model1,
    model2,
    model3,
    model3_tuned,
    model3_tuned_plateau,
)
from kaggle_cifar.recipes.validation import (
    NAME,
    SettingError,
    number,
    require_name,
    require_one_of,
    validate,
    whole_number,
)
from kaggle_cifar.recipes.wide_resnet import leaderboard

__all__ = [
    "BETTER_THAN_DEFAULT",
    "DEFAULT",
    "MOST_EPOCHS",
    "NAME",
    "RECIPES",
    "SGD",
    "Augmentation",
    "CosineSchedule",
    "EarlyStopping",
    "ExponentialDecay",
    "Lookahead",
    "Mix",
    "Muon",
    "Phase",
    "ProgressiveResizing",
    "ProxyFiltering",
    "Recipe",
    "ReduceLROnPlateau",
    "SettingError",
    "Sharpness",
    "TriangularSchedule",
    "airbench84",
    "airbench94",
    "airbench95",
    "airbench96",
    "airbench97",
    "change_recipe",
    "check_same_network",
    "find_recipe",
    "leaderboard",
    "model1",
    "model2",
    "model3",
    "model3_tuned",
    "model3_tuned_plateau",
    "number",
    "require_name",
    "require_one_of",
    "validate",
    "whole_number",
]
