"""Probabilities to a scored submission: the CSV, its check, its record, its way to Kaggle.

On disk: `submissions/<name>.csv`, and beside it its record `<name>.json`.
"""
