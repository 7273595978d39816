"""The public CIFAR-10 through `keras.datasets`, in the competition's layout: no account needed.

Its test images are the ones that Kaggle scores. Their labels are dropped here, and `submitting`
refuses what was predicted on them: it would be no entry of the competition's.
"""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kaggle_cifar.competition import (
    CLASS_NAMES,
    FILES,
    SAMPLE_SUBMISSION,
    TRAIN_LABELS,
)
from kaggle_cifar.download import SOURCE_KIND, SOURCE_NAME
from kaggle_cifar.errors import UserError
from kaggle_cifar.extract import (
    is_extracted,
    publish,
    remove_leftovers,
    require_own_images,
    start_staging,
    write_new_file,
)
from kaggle_cifar.ownership import ForeignPathError, read_record, regular_file
from kaggle_cifar.progress import progress_bar, say
from kaggle_cifar.sample import encode_png
from kaggle_cifar.sevenzip import Member
from kaggle_cifar.storage import (
    Layout,
    explain_os_error,
    lock,
    write_record,
    write_text,
)

SOURCE = {"source": "keras.datasets.cifar10"}


def source_file(layout: Layout) -> Path:
    """Return the JSON that marks data which is not Kaggle's."""
    return layout.raw / SOURCE_NAME


def download_from_keras(layout: Layout) -> None:
    """Write 50,000 labelled and 10,000 unlabelled PNGs, with the two CSV files.

    What is there and whole is left alone.

    Raises
    ------
    ForeignPathError
        When something is in the way that this program did not write.
    UserError
        When the folder holds Kaggle's files, the download fails or the disk is full.
    """
    with lock(layout.raw, "download"):
        refuse_kaggle_files(layout)
        if is_there(layout):
            say(f"{layout.data} holds the public CIFAR-10 already: left as it is.")
            return
        for split in ("train", "test"):
            require_own_images(layout.images(split), layout.manifest(split))
        train_images, train_labels, test_images = load()
        # First, so that nothing is ever unmarked.
        write_record(source_file(layout), SOURCE_KIND, SOURCE)
        write_table(layout.raw / TRAIN_LABELS, [CLASS_NAMES[label] for label in train_labels])
        write_table(layout.raw / SAMPLE_SUBMISSION, ["cat"] * len(test_images))
        write_images(layout, "train", train_images)
        write_images(layout, "test", test_images)
    say("Its predictions can be checked, but not submitted: the test images' labels are public.")


def is_there(layout: Layout) -> bool:
    """Whether both folders of images are whole."""
    return all(
        is_extracted(layout.raw / f"{split}.7z", layout.images(split), layout.manifest(split))
        for split in ("train", "test")
    )


def refuse_kaggle_files(layout: Layout) -> None:
    """Raise a UserError when the folder holds files that are Kaggle's or the sample's."""
    own = (TRAIN_LABELS, SAMPLE_SUBMISSION) if read_record(source_file(layout), SOURCE_KIND) else ()
    there = [name for name in FILES if name not in own and os.path.lexists(layout.raw / name)]
    if there:
        raise UserError(
            f"{layout.raw} holds {', '.join(there)} from elsewhere: the public CIFAR-10 is not "
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
    from kaggle_cifar.runtime import start_tensorflow

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


def write_images(layout: Layout, split: str, images: np.ndarray) -> None:
    """Write images as PNGs with the ids from 1, and their manifest, as an extraction does."""
    folder, manifest = layout.images(split), layout.manifest(split)
    members: dict[int, Member] = {}
    try:
        staging = start_staging(folder)
        with progress_bar(f"Writing {split} images", len(images), "images") as bar:
            for image_id, image in enumerate(images, start=1):
                png = encode_png(image)
                write_new_file(f"{staging}/{image_id}.png", png)
                members[image_id] = Member(len(png), zlib.crc32(png))
                bar.update()
        made_from: dict[str, Any] = {"name": SOURCE["source"]}
        publish(folder, manifest, members, made_from)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        remove_leftovers(folder)
    say(f"Wrote {len(images):,} images to {folder}.")
