"""A run trained on Kaggle's GPUs: sent there, watched, fetched and checked.

This file imports nothing: on Kaggle, `worker` runs before the packages that others need are
installed.
"""
