"""Write the public CIFAR-10 from `keras.datasets` in the competition's layout; no account needed.

Its test images are those that Kaggle scores. Their labels are dropped, and predictions for them
cannot be submitted, because they would not be a fair entry.
"""

import os
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, FILES, SAMPLE_SUBMISSION, TRAIN_LABELS
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data.download import OtherSourceError
from kaggle_cifar.data.image_folder import is_extracted, require_own_images, staged_images
from kaggle_cifar.data.labels import HEADER
from kaggle_cifar.data.png import encode_png
from kaggle_cifar.data.sources import SOURCE_KIND, SOURCE_NAME
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock, write_record, write_text
from kaggle_cifar.ownership import ForeignPathError, read_record, regular_file

SOURCE = {"source": "keras.datasets.cifar10"}


class KerasDownloadError(UserError):
    """Keras failed to download or read the public CIFAR-10."""


def source_file(project: ProjectPaths) -> Path:
    """Return the path of the record that the data is not from Kaggle."""
    return project.raw / SOURCE_NAME


def download_from_keras(project: ProjectPaths) -> None:
    """Write 50,000 labelled and 10,000 unlabelled PNGs, and the two CSV files.

    If they are all there, nothing is changed.

    Raises
    ------
    OtherSourceError
        If the folder holds Kaggle's files.
    ForeignPathError
        If a path is taken by something that this program did not write.
    KerasDownloadError
        If the download fails.
    UserError
        If the disk is full.
    """
    with lock(project.raw, "download"):
        check_kaggle_files(project)
        tables = (project.raw / TRAIN_LABELS, project.raw / SAMPLE_SUBMISSION)
        if all(path.exists() for path in tables) and all(
            is_written(project, split) for split in ("train", "test")
        ):
            say(f"{project.data} already holds the public CIFAR-10.")
            return
        for split in ("train", "test"):
            require_own_images(project.images(split), project.manifest(split))
        train_images, train_labels, test_images = load()
        # First, so that the files are never without their source.
        write_record(source_file(project), SOURCE_KIND, SOURCE)
        write_table(project.raw / TRAIN_LABELS, [CLASS_NAMES[label] for label in train_labels])
        write_table(project.raw / SAMPLE_SUBMISSION, ["cat"] * len(test_images))
        write_images(project, "train", train_images)
        write_images(project, "test", test_images)
    say("You can check predictions but not submit them: the test labels are public.")


def is_written(project: ProjectPaths, split: str) -> bool:
    """Return whether all images of a split are there."""
    archive = project.raw / f"{split}.7z"
    return is_extracted(archive, project.images(split), project.manifest(split))


def check_kaggle_files(project: ProjectPaths) -> None:
    """Raise an OtherSourceError if the folder holds files of Kaggle or of the sample."""
    own = (
        (TRAIN_LABELS, SAMPLE_SUBMISSION) if read_record(source_file(project), SOURCE_KIND) else ()
    )
    there = [name for name in FILES if name not in own and os.path.lexists(project.raw / name)]
    if there:
        raise OtherSourceError(
            project.raw,
            f"{project.raw} holds {', '.join(there)} from another source. Use another folder for "
            "the public CIFAR-10, for instance --data-dir data-keras.",
        )


def write_table(path: Path, labels: list[str]) -> None:
    """Write a CSV of labels with ids from 1, unless it exists.

    Raises
    ------
    ForeignPathError
        If `path` holds anything else.
    """
    rows = [f"{image_id},{label}" for image_id, label in enumerate(labels, start=1)]
    text = "\n".join([HEADER, *rows]) + "\n"
    if not os.path.lexists(path):
        write_text(path, text)
    elif regular_file(path).read_bytes() != text.encode():
        raise ForeignPathError(
            path,
            f"{path} does not hold the labels of the public CIFAR-10, so it was not replaced. Move "
            "it away and run this again.",
        )


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training images, their labels, and test images: uint8 (n, 32, 32, 3) or (n,).

    Keras keeps the download in `~/.keras` and checks its SHA-256.
    """
    from kaggle_cifar.tensorflow_setup import start_tensorflow

    start_tensorflow()
    import keras

    try:
        (train_images, train_labels), (test_images, _) = keras.datasets.cifar10.load_data()
    except Exception as error:  # whatever its download, its archive and its parser raise
        raise KerasDownloadError(
            f"Keras could not download the public CIFAR-10 ({type(error).__name__}: "
            f"{str(error)[:200]}). Check the network. If a file is damaged, delete "
            "~/.keras/datasets and run this again."
        ) from error
    return train_images, train_labels.ravel(), test_images


def write_images(project: ProjectPaths, split: str, images: np.ndarray) -> None:
    """Write images as PNGs with ids from 1, and their manifest, as extraction does."""
    folder = project.images(split)
    with (
        staged_images(folder, project.manifest(split), {"name": SOURCE["source"]}) as staged,
        progress_bar(f"Writing {split} images", len(images), "images") as bar,
    ):
        for image_id, image in enumerate(images, start=1):
            staged.write(image_id, encode_png(image))
            bar.update()
    say(f"Wrote {len(images):,} images to {folder}.")
