"""Training on Kaggle's GPUs: a run is pushed there, followed, downloaded and checked.

On disk: `runs/.kaggle-cifar.remote/<name>` during the training, then an ordinary run. This file
imports nothing, because `worker` runs on Kaggle before the packages of others are installed.
"""
