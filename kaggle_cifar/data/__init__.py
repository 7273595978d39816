"""Kaggle's files to pixels: download, extraction, labels, images, a look at all of them.

Takes the competition's files and gives arrays of images with their ids. On disk: `data/`.
"""
