"""The public CIFAR-10 through `keras.datasets`, in the competition's layout: no account needed.

Its test images are the ones that Kaggle scores. Their labels are dropped here, and `submitting`
refuses what was predicted on them: it would be no entry of the competition's.
"""

import os
import zlib
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import (
    CLASS_NAMES,
    FILES,
    SAMPLE_SUBMISSION,
    TRAIN_LABELS,
)
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data.archive import ArchiveMember
from kaggle_cifar.data.download import SOURCE_KIND, SOURCE_NAME
from kaggle_cifar.data.image_folder import is_extracted, require_own_images, staged_images
from kaggle_cifar.data.synthetic import encode_png
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import (
    ProjectPaths,
    lock,
    write_record,
    write_text,
)
from kaggle_cifar.ownership import ForeignPathError, read_record, regular_file

SOURCE = {"source": "keras.datasets.cifar10"}


def source_file(project: ProjectPaths) -> Path:
    """Return the JSON that marks data which is not Kaggle's."""
    return project.raw / SOURCE_NAME


def download_from_keras(project: ProjectPaths) -> None:
    """Write 50,000 labelled and 10,000 unlabelled PNGs, with the two CSV files.

    What is there and whole is left alone.

    Raises
    ------
    ForeignPathError
        When something is in the way that this program did not write.
    UserError
        When the folder holds Kaggle's files, the download fails or the disk is full.
    """
    with lock(project.raw, "download"):
        check_kaggle_files(project)
        if is_there(project):
            say(f"{project.data} holds the public CIFAR-10 already: left as it is.")
            return
        for split in ("train", "test"):
            require_own_images(project.images(split), project.manifest(split))
        train_images, train_labels, test_images = load()
        # First, so that nothing is ever unmarked.
        write_record(source_file(project), SOURCE_KIND, SOURCE)
        write_table(project.raw / TRAIN_LABELS, [CLASS_NAMES[label] for label in train_labels])
        write_table(project.raw / SAMPLE_SUBMISSION, ["cat"] * len(test_images))
        write_images(project, "train", train_images)
        write_images(project, "test", test_images)
    say("Its predictions can be checked, but not submitted: the test images' labels are public.")


def is_there(project: ProjectPaths) -> bool:
    """Whether both folders of images are whole."""
    return all(
        is_extracted(project.raw / f"{split}.7z", project.images(split), project.manifest(split))
        for split in ("train", "test")
    )


def check_kaggle_files(project: ProjectPaths) -> None:
    """Raise a UserError when the folder holds files that are Kaggle's or the sample's."""
    own = (
        (TRAIN_LABELS, SAMPLE_SUBMISSION) if read_record(source_file(project), SOURCE_KIND) else ()
    )
    there = [name for name in FILES if name not in own and os.path.lexists(project.raw / name)]
    if there:
        raise UserError(
            f"{project.raw} holds {', '.join(there)} from elsewhere: the public CIFAR-10 is not "
            "mixed with them. Choose another folder, for instance --data-dir data-keras."
        )


def write_table(path: Path, labels: list[str]) -> None:
    """Write a CSV of labels with the ids from 1, unless it is there.

    Raises
    ------
    ForeignPathError
        When another file is there.
    """
    rows = [f"{image_id},{label}" for image_id, label in enumerate(labels, start=1)]
    text = "\n".join(["id,label", *rows]) + "\n"
    if not os.path.lexists(path):
        write_text(path, text)
    elif regular_file(path).read_bytes() != text.encode():
        raise ForeignPathError(
            path,
            f"{path} does not hold the public CIFAR-10's labels, so it is left as it is. Move it "
            "away and run this again.",
        )


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training images and labels, and test images, each uint8 (n, 32, 32, 3) or (n,).

    Keras keeps the download under `~/.keras` and compares its checksum.
    """
    from kaggle_cifar.tensorflow_setup import start_tensorflow

    start_tensorflow()
    import keras

    try:
        (train_images, train_labels), (test_images, _) = keras.datasets.cifar10.load_data()
    except Exception as error:  # whatever its download, its archive and its parser raise
        raise UserError(
            f"Keras could not bring the public CIFAR-10 ({type(error).__name__}: "
            f"{str(error)[:200]}). Check the network; if it says that a file is damaged, delete "
            "~/.keras/datasets and run this again."
        ) from error
    return train_images, train_labels.ravel(), test_images


def write_images(project: ProjectPaths, split: str, images: np.ndarray) -> None:
    """Write images as PNGs with the ids from 1, and their manifest, as an extraction does."""
    folder = project.images(split)
    members: dict[int, ArchiveMember] = {}
    with (
        staged_images(folder, project.manifest(split)) as staged,
        progress_bar(f"Writing {split} images", len(images), "images") as bar,
    ):
        for image_id, image in enumerate(images, start=1):
            png = encode_png(image)
            staged.write(image_id, png)
            members[image_id] = ArchiveMember(len(png), zlib.crc32(png))
            bar.update()
        staged.replace_folder(members, {"name": SOURCE["source"]})
    say(f"Wrote {len(images):,} images to {folder}.")
