"""Write a few images as extraction does, and build a small recipe."""

import dataclasses
import zlib

import numpy as np
from PIL import Image

from kaggle_cifar import recipes
from kaggle_cifar.competition import CLASS_NAMES, SAMPLE_SUBMISSION, TRAIN_LABELS
from kaggle_cifar.files import ProjectPaths

IDS = range(1, 41)  # test ids of the stand-in site's competition
ROWS = [f"{i},{CLASS_NAMES[i % 10]}" for i in IDS]


def text_of(rows: list[str], header: str = "id,label") -> str:
    """Return the text of a submission."""
    return "\n".join([header, *rows]) + "\n"


def project_in(folder) -> ProjectPaths:
    return ProjectPaths(folder / "data", folder / "runs", folder / "submissions")


def write_pngs(folder, ids, seed=0) -> np.ndarray:
    """Write a random image for each id and return the pixels in the order of `ids`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(ids), 32, 32, 3), dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for image_id, image in zip(ids, pixels, strict=True):
        Image.fromarray(image).save(folder / f"{image_id}.png")
    return pixels


def write_training_data(project: ProjectPaths, count: int, seed=0) -> np.ndarray:
    """Write `count` images of ids from 1, their labels in turn; return the pixels."""
    project.raw.mkdir(parents=True, exist_ok=True)
    rows = [f"{i},{CLASS_NAMES[i % len(CLASS_NAMES)]}\n" for i in range(1, count + 1)]
    (project.raw / TRAIN_LABELS).write_text("id,label\n" + "".join(rows))
    return write_pngs(project.images("train"), range(1, count + 1), seed)


def write_test_data(project: ProjectPaths, ids, seed=1) -> np.ndarray:
    """Write a test image for each id and the sample submission; return the pixels."""
    project.raw.mkdir(parents=True, exist_ok=True)
    rows = [f"{i},cat\n" for i in ids]
    (project.raw / SAMPLE_SUBMISSION).write_text("id,label\n" + "".join(rows))
    return write_pngs(project.images("test"), ids, seed)


def small_airbench(**changes) -> recipes.Recipe:
    """Return airbench94 with a tiny network and four steps of ten an epoch for 48 images.

    The whitening bias is frozen after two epochs. Lookahead does not pull at the ends of epochs.
    """
    settings = {
        "name": "small",
        "network_options": {"widths": [8, 8, 8]},
        "learning_rate": 0.1,
        "batch_size": 10,
        "epochs": 3.5,
        "augmentation": recipes.Augmentation(flip="alternating", translate=2, cutout=6),
        "lookahead": recipes.Lookahead(every=3),
        "whitening_bias_epochs": 2,
    }
    return dataclasses.replace(recipes.airbench94(), **{**settings, **changes})


def small_airbench97(**changes) -> recipes.Recipe:
    """Return a small airbench with progressive resizing and proxy filtering.

    Images grow after 5 of 14 steps, in the middle of an epoch. The proxy learns in every third.
    """
    settings = {
        "progressive_resizing": recipes.ProgressiveResizing(size=24, share=0.35),
        "filtering": recipes.ProxyFiltering({"widths": [4, 4, 4]}, every=3),
    }
    return small_airbench(**{**settings, **changes})


def write_manifest(project: ProjectPaths, split: str) -> None:
    """Write the manifest of the images on disk, as extraction does."""
    rows = []
    for path in sorted(project.images(split).iterdir(), key=lambda path: int(path.stem)):
        content = path.read_bytes()
        rows.append(f"{path.stem},{len(content)},{zlib.crc32(content)}\n")
    project.manifest(split).write_text("id,size,crc32\n" + "".join(rows))
