"""Figures of the data: an example of each class, and the number of images in each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.figures import BLUE, SIZE, save, styled

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


@styled
def draw_classes(images: "np.ndarray", titles: Sequence[str], path: Path) -> None:
    """Write a PNG of ten titled images, uint8 (10, 32, 32, 3), in two rows of five."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, image, title in zip(figure.subplots(2, 5).flat, images, titles, strict=True):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")
    save(figure, path)


@styled
def draw_class_counts(counts: Sequence[int]) -> "Figure":
    """Return a bar chart of the number of images in each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.bar_label(axes.barh(CLASS_NAMES, counts, color=BLUE), fmt="{:,.0f}", fontsize=8, padding=3)
    axes.set_xlabel("images")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.14)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    return figure
