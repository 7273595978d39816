"""The figure that training writes."""

import numpy as np
import pytest

from kaggle_cifar.evaluation.plots import draw_curves, draw_gallery, draw_lines


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
