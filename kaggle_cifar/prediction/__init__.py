"""Runs and images to probabilities: the test set, ensembles, any picture, exports.

On disk: `runs/<name>/test_probabilities.npy`, and exported models.
"""
