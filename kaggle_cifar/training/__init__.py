"""Train a recipe: batches, optimizers, the loop, its checkpoints.

`train.train` returns a run: a network with weights and metrics. On disk: a folder `runs/<name>`.
"""
