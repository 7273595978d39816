"""A recipe and a training set to a run: batches, optimizers, the loop, its checkpoints.

Gives a network with weights and how good it is. On disk: a folder `runs/<name>`.
"""
