"""Runs and images to probabilities: the test set, ensembles, any picture, exports.

On disk: `test_probabilities.npy` in the run's folder, and exports.
"""
