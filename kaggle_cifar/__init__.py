"""A toolkit for the Kaggle competition CIFAR-10 - Object Recognition in Images."""

__version__ = "0.1.0"
