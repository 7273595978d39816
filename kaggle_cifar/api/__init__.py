"""The Python API: what a notebook or a script calls, and the command line too.

Takes names, paths and plain values, gives objects that a notebook shows, leaves on disk what the
stages leave. The package `kaggle_cifar` offers the public names and imports them when they are
used.
"""
