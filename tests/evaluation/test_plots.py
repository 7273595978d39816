"""The figure that training writes."""

import pytest
from PIL import Image

from kaggle_cifar.evaluation.plots import draw_curves, draw_lines


@pytest.mark.parametrize("validated", [True, False])
def test_draw_curves_writes_a_png(tmp_path, validated):
    row = {"epoch": 1, "loss": 2.0, "accuracy": 0.3, "val_loss": None, "val_accuracy": None}
    if validated:
        row |= {"val_loss": 2.1, "val_accuracy": 0.2}
    draw_curves([row, row | {"epoch": 2}], "model", tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > 600


def test_draw_lines_leaves_gaps():
    figure = draw_lines({"a": [0.1, None, 0.3]}, "accuracy")
    [line] = figure.axes[0].lines
    assert [value == value for value in line.get_ydata()] == [True, False, True]
