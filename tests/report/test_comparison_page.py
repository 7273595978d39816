"""The page that compares several runs."""

import re

import numpy as np
import pytest

from kaggle_cifar.evaluation.metrics import Predictions
from kaggle_cifar.files import write_json
from kaggle_cifar.report.comparison_page import comparison_page, ensemble_sentence
from kaggle_cifar.report.reading import read_run
from tests.helpers.small_runs import write_run, write_test_probabilities
from tests.report.conftest import words_of


def words_of_comparison(project, runs):
    found = [read_run(project, run) for run in runs]
    return words_of(comparison_page(project.runs / "comparison", found))


def test_comparison_uses_common_images(project):
    runs = [write_run(project, name, 0.6 + 0.1 * i, seed=i) for i, name in enumerate("abc")]
    words = words_of_comparison(project, runs)
    assert "All runs were validated on the same 80 images." in words
    assert "The ensemble of 3 runs" in words
    names = {"validation_accuracy", "validation_loss", "learning_rate", "agreement"}
    figures = project.runs / "comparison" / "figures"
    assert {path.stem for path in figures.iterdir()} == names
    table = words.partition("Pairs of runs")[2]
    for pair in ("a b", "a c", "b c"):
        assert re.search(rf"\b{pair} \d+\.\d\s%", table)


def test_comparison_averages_as_predict_does(project, no_figures):
    runs = [write_run(project, name, 0.5, seed=i) for i, name in enumerate("ab")]
    rows = [np.load(run.folder / "validation_probabilities.npy") for run in runs]
    mean = np.mean([row["probabilities"] for row in rows], axis=0, dtype=float)
    accuracy = np.mean(mean.argmax(axis=1) == rows[0]["id"] % 10)
    words = words_of_comparison(project, runs)
    assert f"The ensemble of 2 runs has an accuracy of {accuracy:.4f}" in words


def test_comparison_names_different_validation_images(project, no_figures):
    runs = [write_run(project, name, seed=i) for i, name in enumerate("abc")]
    for run, kept in zip(runs, (slice(0, 50), slice(30, 80), slice(50, 80)), strict=True):
        path = run.folder / "validation_probabilities.npy"
        rows = np.load(path)[kept]
        np.save(path, rows)
        accuracy = np.mean(rows["probabilities"].argmax(axis=1) == rows["id"] % 10)
        write_json(run.metrics_file, run.read_metrics() | {"validation_accuracy": float(accuracy)})
    assert "in common: 20 images on which none" in words_of_comparison(project, runs[:2])
    assert "have none in common" in words_of_comparison(project, [runs[0], runs[2]])


def test_comparison_shows_an_unfinished_run(project, no_figures):
    runs = [write_run(project, name) for name in "ab"]
    runs[1].metrics_file.unlink()
    words = words_of_comparison(project, runs)
    assert "b : The run is unfinished" in words
    assert "Fewer than two of the runs have validation probabilities" in words
    assert "4 of 4, unfinished" in words


def test_comparison_needs_no_history(project, no_figures):
    runs = [write_run(project, name) for name in "ab"]
    for run in runs:
        run.history_file.unlink()
    page = comparison_page(project.runs / "comparison", [read_run(project, run) for run in runs])
    assert 'id="curves"' not in page


def test_comparison_shows_agreement_on_test_images(project, no_figures):
    runs = [write_run(project, name, seed=i) for i, name in enumerate("ab")]
    for seed, run in enumerate(runs):
        write_test_probabilities(run, range(1, 61), seed)
    words = words_of_comparison(project, runs)
    assert re.search(r"a and b agree on \d+\.\d\s% of the 60 test images", words)


def sure_of(classes):
    return (0.8 * np.eye(10)[classes] + 0.02).astype(np.float32)


@pytest.mark.parametrize(
    ("result", "first", "second"),
    [
        ("a significant gain", [0] * 500 + [1] * 500, [0] * 500 + [1] * 500),
        ("a significant loss", [0] * 1000, [1] * 1000),
        ("not significant", [0] * 1000, [0] * 1000),
    ],
)
def test_ensemble_sentence_states_significance(result, first, second):
    ids, labels = np.arange(1000), np.zeros(1000, int)
    one, other = sure_of(first), sure_of(second)
    if result == "a significant gain":
        other = other[::-1].copy()
        one[:500] *= 1.1  # surer than the other run is of its mistakes
        other[500:] *= 1.1
    if result == "a significant loss":
        other *= 1.1
    parts = [Predictions(ids, labels, part) for part in (one, other)]
    assert ensemble_sentence(["a", "b"], parts).endswith(f": {result}.")
