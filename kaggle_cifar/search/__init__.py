"""Many trainings: hyper-parameter searches, seeds and folds, on one machine or a cluster.

On disk: a folder `runs/<search>`, and a run for each trial, seed or fold.
"""
