"""Usage errors of `search`, and the request that reaches the search."""

import importlib

import pytest

search_module = importlib.import_module("kaggle_cifar.search.search")


@pytest.fixture
def searched(monkeypatch):
    """Record the arguments of each search instead of searching."""
    calls = []
    monkeypatch.setattr(search_module, "search", lambda *arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("model1", "grid for model3"),
        ("--space my.json", "grid for model3"),
        ("--time-budget 2h", "requires `--sampler random`"),
        ("--trials 17", "at most 16"),
        ("--sampler grid", "--sampler"),
    ],
)
def test_usage_error_exits_with_2(run, searched, options, words):
    result = run("search", *options.split())
    assert result.status == 2
    assert words in result.errors
    assert not searched


def test_epochs_exclude_a_space_with_epochs(run, searched, tmp_path):
    space = tmp_path / "space.json"
    space.write_text('{"epochs": [1, 2]}')
    options = ("--sampler", "random", "--space", space)
    result = run("search", *options, "--epochs", 3)
    assert result.status == 2
    assert f"--epochs cannot be used with {space}" in result.errors
    assert run("search", *options).status == 0


@pytest.mark.parametrize(
    ("options", "sampler", "trials", "epochs", "budget"),
    [
        ("", "grid-draw", 5, 20, None),
        ("--trials 2 --epochs 3", "grid-draw", 2, 3, None),
        ("--sampler tpe --time-budget 2h --epochs 4", "tpe", 16, 4, 7200),
        ("airbench94 --sampler random --trials 3 --epochs 2", "random", 3, 2, None),
    ],
)
def test_request_reaches_the_search(run, searched, options, sampler, trials, epochs, budget):
    assert run("search", *options.split(), "--seed", 4).status == 0
    [(_, name, space, used, count, run_options, cluster, time_budget)] = searched
    assert (name, used, count, time_budget) == ("search", sampler, trials, budget)
    assert (space.max_epochs, run_options.seed, cluster.address) == (epochs, 4, None)
