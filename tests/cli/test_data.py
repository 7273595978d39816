"""The options of the commands for the data."""

import importlib

import pytest


def module(name):
    return importlib.import_module(f"kaggle_cifar.data.{name}")


@pytest.fixture
def calls(monkeypatch):
    """Record the calls of the stage instead of working."""
    calls = []

    def record(name, function):
        def called(*arguments, **options):
            calls.append((function, arguments[1:], sorted(options)))
            for split in ("train", "test"):
                if "extract" in options and not options["extract"](f"{split}.7z", split):
                    calls.append(("kept", split, []))

        monkeypatch.setattr(module(name), function, called)

    record("download", "download")
    record("keras_cifar10", "download_from_keras")
    record("inspection", "inspect")
    record("synthetic", "draw_sample")
    record("extract", "extract")
    monkeypatch.setattr(module("extract"), "extract_split", lambda *words: words[-1] == "test")
    return calls


def test_download_extracts_each_archive_once(run, calls):
    assert run("download").status == 0
    [(download, *_), kept, (extract, _, options)] = calls
    assert (download, kept, extract) == ("download", ("kept", "train", []), "extract")
    assert len(options) == 1  # the splits that need no message


@pytest.mark.parametrize(
    ("words", "function"),
    [
        (["download", "--no-extract"], "download"),
        (["download", "--source", "keras"], "download_from_keras"),
        (["extract"], "extract"),
    ],
)
def test_command_calls_only_its_function(run, calls, words, function):
    assert run(*words).status == 0
    assert calls == [(function, (), [])]


@pytest.mark.parametrize(
    ("words", "function"), [(["inspect"], "inspect"), (["sample", "folder"], "draw_sample")]
)
def test_seed_reaches_the_function(run, calls, words, function):
    assert run(*words, "--seed", 3).status == 0
    assert calls == [(function, (3,), [])]


def test_negative_seed_exits_with_2(run, calls):
    assert run("inspect", "--seed", -1).status == 2
    assert not calls
