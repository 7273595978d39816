"""Training by the API: arguments, on_epoch, interrupts."""

import importlib
import os
import signal

import pytest

import kaggle_cifar as kc
from kaggle_cifar.api.arguments import ArgumentTypeError, ConflictingArgumentsError, to_changes
from kaggle_cifar.recipes import SettingError, find_recipe
from kaggle_cifar.training.options import InvalidDurationError

train_module = importlib.import_module("kaggle_cifar.training.train")


@pytest.fixture
def trained(monkeypatch, sample):
    """Record the arguments of each training instead of training."""
    calls = []
    monkeypatch.setattr(train_module, "train", lambda *arguments: calls.append(arguments))
    return calls


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"recipe": 3}, "recipe must be a Recipe, the name of one, or the path of a JSON file"),
        ({"name": 3}, "name must be the name of a run, not 3"),
        ({"time_budget": []}, 'time_budget must be a duration like "50m" or seconds'),
        ({"time_budget": -1}, "time_budget must be"),
        ({"changes": "epochs=1"}, "changes must be a dict"),
        ({"changes": {"epochs": object()}}, "changes must be a dict"),
        ({"mixed_precision": "yes"}, "mixed_precision must be True or False"),
        ({"on_epoch": 3}, "on_epoch must be a function"),
        ({"predict": 1}, "predict must be True or False"),
    ],
)
def test_wrong_type_says_what_was_expected(trained, arguments, words):
    with pytest.raises(ArgumentTypeError) as caught:
        kc.train(**arguments)
    assert words in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, kc.UserError)
    assert not trained


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"epochs": "two"}, "epochs"),
        ({"epochs": 0}, "epochs"),
        ({"limit": 9}, "limit"),
        ({"seed": -1}, "seed"),
        ({"validation": "some"}, "validation"),
    ],
)
def test_impossible_value_names_its_argument(trained, arguments, key):
    with pytest.raises(SettingError) as caught:
        kc.train(**arguments)
    assert caught.value.key == key
    assert not trained


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": 3, "time_budget": "5m"},
        {"epochs": 3, "changes": {"epochs": 5}},
        {"mixed_precision": True, "changes": ["mixed_precision=false"]},
        {"accelerator": "NvidiaL4"},
        {"on": "kaggle", "device": "cpu"},
        {"predict": True},
        {"detach": True},
        {"on": "kaggle", "tta": True},
        {"on": "kaggle", "tensorboard": True},
        {"on": "kaggle", "on_epoch": print},
    ],
)
def test_contradicting_arguments_are_refused(trained, arguments):
    with pytest.raises(ConflictingArgumentsError):
        kc.train(**arguments)
    assert not trained


def test_unknown_argument_is_refused_by_python(trained):
    with pytest.raises(TypeError, match="eposh"):
        kc.train(eposh=3)


def test_invalid_duration_is_refused(trained):
    with pytest.raises(InvalidDurationError):
        kc.train(time_budget="50")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "airbench94"),
        ({"seed": 1}, "airbench94-seed1"),
        ({"time_budget": "50m"}, "airbench94-50m"),
        ({"time_budget": 90}, "airbench94-1.5m"),
        ({"changes": {"network_options": {"widths": [8]}}}, "airbench94,network_options=widths=8"),
    ],
)
def test_run_name_is_that_of_the_command_line(trained, monkeypatch, arguments, name):
    monkeypatch.setattr(train_module, "train", lambda *words: trained.append(words[2]) or words)
    with pytest.raises(AttributeError):
        _ = kc.train("airbench94", **arguments).name
    assert trained == [name]


def test_recipes_are_objects_names_or_paths(trained, tmp_path):
    recipe = find_recipe("model1")
    for given in (recipe, "model1"):
        kc.train(given)
    assert [call[1] for call in trained] == [recipe, recipe]
    with pytest.raises(kc.UserError, match=r"nowhere\.json is missing"):
        kc.train(tmp_path / "nowhere.json")


def test_changes_are_those_of_the_command_line():
    assert to_changes(None) == ()
    assert to_changes(["a=1"]) == ("a=1",)
    assert to_changes({"a": 0.003, "b.c": None, "d": "adam"}) == ("a=0.003", "b.c=null", 'd="adam"')


@pytest.mark.slow
def test_on_epoch_gets_each_row(sample):
    rows = []
    run = kc.train("model1", epochs=2, name="rows", on_epoch=rows.append)
    assert rows == run.history.to_dict("records")
    kc.train("model1", epochs=2, name="rows", on_epoch=pytest.fail)  # finished: no new epoch


@pytest.mark.slow
def test_failing_on_epoch_keeps_the_state(sample):
    def fail(row):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kc.train("model1", epochs=2, name="failing", on_epoch=fail)
    assert len(kc.find_run("failing").history) == 1
    rows = []
    run = kc.train("model1", epochs=2, name="failing", on_epoch=rows.append)
    assert run.finished
    assert [row["epoch"] for row in rows] == [2]


@pytest.mark.slow
def test_stop_button_returns_the_unfinished_run(sample, capsys):
    def stop(row):
        os.kill(os.getpid(), signal.SIGINT)

    run = kc.train("model1", epochs=3, name="stopped", on_epoch=stop)
    assert not run.finished
    assert "Stopped. The state is saved" in capsys.readouterr().out
    assert len(run.history) == 1
    with pytest.raises(kc.UserError, match="not finished"):
        _ = run.metrics
    assert kc.train("model1", epochs=3, name="stopped").finished


@pytest.mark.slow
def test_stopped_seeds_return_those_started(sample):
    signals = importlib.import_module("kaggle_cifar.training.signals")
    called = []
    original = train_module.train_by_epochs

    def stop_at_second(project, recipe, name, *rest):
        called.append(name)
        if len(called) == 2:
            raise signals.Interrupted(signal.SIGINT)
        yield from original(project, recipe, name, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "train_by_epochs", stop_at_second)
        assert [run.name for run in kc.train_seeds("model1", 3, epochs=1)] == ["model1-seed0"]


def test_terminated_training_exits(monkeypatch, sample):
    signals = importlib.import_module("kaggle_cifar.training.signals")

    def terminate(*_):
        raise signals.Interrupted(signal.SIGTERM)

    monkeypatch.setattr(train_module, "train", terminate)
    with pytest.raises(SystemExit) as caught:
        kc.train("model1")
    assert caught.value.code == 128 + signal.SIGTERM
