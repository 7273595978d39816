"""Run the command line with `python -m kaggle_cifar`."""

from kaggle_cifar.cli import main

main()
