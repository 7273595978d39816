"""The names of validation splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar.data.validation_split import Fold, is_validation_split, parse_fold


@given(st.integers(2, 10**6).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_fold_is_parsed_from_its_name(numbers):
    fold = Fold(*numbers)
    assert parse_fold(str(fold)) == fold
    assert is_validation_split(str(fold))


@pytest.mark.parametrize(
    "name",
    [
        "fold0of3",
        "fold3of2",
        "fold1of1",
        "fold1of",
        "fold1of10 ",
        "Fold1of2",
        "fold\u0661of\u0662",
        "some",
    ],
)
def test_other_names_are_no_folds(name):
    assert parse_fold(name) is None
    assert not is_validation_split(name)


@pytest.mark.parametrize("numbers", [(0, 3), (3, 2), (1, 1)])
def test_impossible_fold_is_refused(numbers):
    with pytest.raises(ValueError, match="no fold"):
        Fold(*numbers)
