"""The journal of a search's trials; tests/search/test_cluster.py runs Ray Tune."""

import pytest

from kaggle_cifar.files import write_json
from kaggle_cifar.search import ray_tune


@pytest.mark.parametrize(
    "content",
    [[], {"trial": {}}, {"s-trial1": 3}, {"s-trial1": {"config": {}}}, {"trial1": {"ended": 1}}],
)
def test_damaged_journal_is_named(tmp_path, content):
    write_json(tmp_path / "trials.json", content)
    with pytest.raises(ray_tune.JournalError) as caught:
        ray_tune.read_journal(tmp_path / "trials.json")
    assert caught.value.path == tmp_path / "trials.json"


def test_journal_is_read_in_the_order_of_trials(tmp_path):
    trial = {"config": {}, "ended": True}
    write_json(tmp_path / "trials.json", {"s-trial10": trial, "s-trial9": trial})
    assert list(ray_tune.read_journal(tmp_path / "trials.json")) == ["s-trial9", "s-trial10"]
