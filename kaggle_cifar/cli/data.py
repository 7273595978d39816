"""The commands for the competition's data."""

from pathlib import Path

import click

from kaggle_cifar.cli.options import PATH, SEED
from kaggle_cifar.files import ProjectPaths


@click.command()
@click.argument("folder", type=PATH)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Random seed.")
def sample(folder: Path, seed: int) -> None:
    """Draw a small offline competition of shapes into FOLDER.

    FOLDER gets the same four files as Kaggle's, and solution.csv with the true labels of the test
    images. No network or account is needed.

    \b
      kaggle-cifar --data-dir demo/data sample demo/data/raw
      kaggle-cifar --data-dir demo/data extract
    """  # noqa: D301
    from kaggle_cifar.data.synthetic import draw_sample

    draw_sample(folder, seed)


@click.command()
@click.option(
    "--extract/--no-extract", default=True, help="Extract the archives after the download."
)
@click.option(
    "--source",
    type=click.Choice(["kaggle", "keras"]),
    default="kaggle",
    show_default=True,
    help="Source of the images. keras needs no account; its predictions cannot be submitted.",
)
@click.pass_obj
def download(project: ProjectPaths, extract: bool, source: str) -> None:
    """Download, verify and extract the competition's files.

    The four files are stored in data/raw. Interrupted downloads resume, and verified files are not
    downloaded again.

    \b
      kaggle-cifar download
      kaggle-cifar download --no-extract
      kaggle-cifar --data-dir data-keras download --source keras
    """  # noqa: D301
    from kaggle_cifar.api.data import download_files

    download_files(project, source, extract)


@click.command()
@click.pass_obj
def extract(project: ProjectPaths) -> None:
    """Extract the archives in data/raw to data/train and data/test.

    \b
      kaggle-cifar extract
    """  # noqa: D301
    from kaggle_cifar.data.extract import extract

    extract(project)


@click.command()
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Random seed for the choice of example images.",
)
@click.pass_obj
def inspect(project: ProjectPaths, seed: int) -> None:
    """Count classes and find duplicate and corrupt images.

    data/inspection gets the results as JSON, a figure of the class counts and a figure with
    examples of each class.

    \b
      kaggle-cifar inspect
    """  # noqa: D301
    from kaggle_cifar.data.inspection import inspect

    inspect(project, seed)
