"""The PNG of a figure: its mark and its title."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from kaggle_cifar.figures import PAPER, PNG_MARK, begins_with_mark, save, save_titled


def test_png_of_a_run_carries_its_name(tmp_path):
    plain = tmp_path / "plain.png"
    titled = tmp_path / ("a-long-name-" * 12) / "figures" / "empty.png"
    figure = Figure(figsize=(4, 3))
    save(figure, plain)
    save_titled(figure, titled)
    save_titled(figure, titled)  # its own file may be replaced
    pixels = np.asarray(Image.open(titled).convert("RGB"))
    strip = len(pixels) - Image.open(plain).height
    paper = np.array([int(PAPER[i : i + 2], 16) for i in (1, 3, 5)])
    inked = np.flatnonzero((pixels[:strip] != paper).any(axis=(0, 2)))
    assert inked.min() > 0 and inked.max() < pixels.shape[1] - 1
    assert (pixels[strip:] == paper).all()
    assert begins_with_mark(titled, PNG_MARK)
