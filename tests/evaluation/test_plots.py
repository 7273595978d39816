"""The figures of a run and of several."""

import numpy as np
import pytest

from kaggle_cifar.evaluation.calibration import Reliability
from kaggle_cifar.evaluation.plots import (
    draw_agreement,
    draw_curves,
    draw_gallery,
    draw_lines,
    draw_precision_recall,
    draw_reliability,
)


@pytest.mark.parametrize("validated", [True, False])
def test_draw_curves_has_a_line_for_each_column(validated):
    row = {"epoch": 1, "loss": 2.0, "accuracy": 0.3, "val_loss": None, "val_accuracy": None}
    if validated:
        row |= {"val_loss": 2.1, "val_accuracy": 0.2}
    figure = draw_curves([row, row | {"epoch": 2}], "model")
    assert [len(axes.lines) for axes in figure.axes] == [1 + validated] * 2


def test_draw_gallery_has_an_image_for_each_caption():
    figure = draw_gallery(np.zeros((3, 32, 32, 3), np.uint8), ["a", "b", "c"], columns=2)
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c", ""]
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0]


def test_draw_lines_leaves_gaps():
    figure = draw_lines({"a": [0.1, None, 0.3]}, "accuracy")
    [line] = figure.axes[0].lines
    assert [value == value for value in line.get_ydata()] == [True, False, True]


def test_curves_of_one_epoch_show_it_as_a_point_at_1():
    row = {"epoch": 1, "accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.4, "val_loss": 1.1}
    for axes in draw_curves([row], "one epoch").axes:
        assert [tick for tick in axes.get_xticks() if 0.5 < tick < 1.5] == [1]
        assert {line.get_marker() for line in axes.lines} == {"o"}


@pytest.mark.parametrize(
    ("values", "labels"),
    [([1.5, 0.6, 0.1], {"1", "0.5", "0.2"}), ([1e-3, 1e-5], {"0.001", "0.0001", "1e-05"})],
)
def test_draw_lines_labels_learning_rates_plainly(values, labels):
    axes = draw_lines({"a": values}, "learning rate", logarithmic=True).axes[0]
    low, high = axes.get_ylim()
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    assert labels <= {label.get_text() for tick, label in ticks if low <= tick <= high}
    assert not any(label.get_text() for label in axes.get_yticklabels(minor=True))


@pytest.mark.parametrize("draw", ["reliability", "precision and recall"])
def test_legend_is_outside_the_axes(draw):
    shares = np.linspace(0.3, 0.9, 10)
    bins = Reliability(np.linspace(0.05, 0.95, 15), np.ones(15), np.full(15, 9))
    figure = (
        draw_reliability(bins) if draw == "reliability" else draw_precision_recall(shares, shares)
    )
    figure.canvas.draw()
    [legend] = figure.legends
    assert not any(legend.get_window_extent().overlaps(axes.bbox) for axes in figure.axes)


def test_precision_recall_axis_names_where_it_starts():
    shares = np.linspace(0.37, 0.9, 10)
    axes = draw_precision_recall(shares, shares).axes[0]
    assert "from 0.3" in axes.get_xlabel()
    assert axes.get_xlim()[0] == pytest.approx(0.29)


def test_agreement_cells_are_darker_the_more_runs_agree():
    shares = np.array([[1, 0.1, 0.45], [0.1, 1, 0.8], [0.45, 0.8, 1]])
    cells = draw_agreement(shares, ["a", "b", "c"]).axes[0].patches
    shades = np.array([cell.get_alpha() for cell in cells])
    assert shades.min() > 0.05
    assert (np.argsort(shades, kind="stable") == np.argsort(shares.ravel(), kind="stable")).all()
