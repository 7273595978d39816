"""A search space in Optuna's terms, and how important each of its keys is."""

import json
from collections.abc import Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from kaggle_cifar.search.search_space import Setting, Space

LEAST_TRIALS = 4  # for importances


def to_distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return the distribution of each key that varies; choices are JSON text."""
    found: dict[str, BaseDistribution] = {}
    for key in space.varied_keys:
        if key in space.choices:
            found[key] = CategoricalDistribution(list(map(json.dumps, space.choices[key])))
        else:
            numbers = space.ranges[key]
            kind = IntDistribution if numbers.is_integer else FloatDistribution
            found[key] = kind(numbers.low, numbers.high, log=numbers.log)  # type: ignore[arg-type]
    return found


def key_importances(
    space: Space, settings: Sequence[Setting], accuracies: Sequence[float]
) -> dict[str, float]:
    """Return the share of the accuracies' variance that each key explains, largest first.

    It is Optuna's PED-ANOVA (Watanabe et al., arXiv 2304.10255). Too few trials give no shares.
    """
    if len(settings) < LEAST_TRIALS:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = to_distributions(space)
    study = optuna.create_study(direction="maximize")
    for setting, accuracy in zip(settings, accuracies, strict=True):
        trial = optuna.trial.create_trial(
            params=space.to_config(setting), distributions=distributions, value=accuracy
        )
        study.add_trial(trial)
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
