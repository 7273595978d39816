"""Probabilities and labels to accuracies, intervals, calibration, label errors and figures.

It writes nothing but the figures it is asked for.
"""
