"""The options of a run."""

import pytest

from kaggle_cifar.recipes import SettingError
from kaggle_cifar.training.options import RunOptions


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("limit", 0),
        ("limit", 2.5),
        ("time_budget", float("nan")),
        ("time_budget", float("inf")),
        ("time_budget", -1.0),
        ("validation", "fold0of3"),
        ("validation", "some"),
    ],
)
def test_impossible_option_is_refused(key, value):
    with pytest.raises(SettingError) as caught:
        RunOptions(**{key: value})
    assert caught.value.key == key
