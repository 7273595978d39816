"""One look at the data: counts, classes, moments, duplicates, and files that should not be so."""

import hashlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE, TRAIN_LABELS
from kaggle_cifar.dataset import READ_BATCH
from kaggle_cifar.figures import draw_class_counts, draw_classes, save
from kaggle_cifar.ownership import is_marked, mark_folder, require_own_folder
from kaggle_cifar.pixels import require_folder, survey_images
from kaggle_cifar.progress import progress_bar, say
from kaggle_cifar.runtime import start_tensorflow
from kaggle_cifar.storage import Layout, explain_os_error, write_json
from kaggle_cifar.tables import read_training_labels, submission_ids

SHOWN = 5  # examples of a kind of finding
INSPECTION = "inspection"  # the kind of folder that this module writes


@dataclass
class Split:
    """What was found in one folder of images."""

    name: str
    expected: int
    read: int = 0
    broken: list[str] = field(default_factory=list)
    odd_files: list[str] = field(default_factory=list)
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))  # of values, of squares
    digests: Counter[bytes] = field(default_factory=Counter)

    @property
    def mean(self) -> np.ndarray:
        """The mean of each channel, 0 to 1."""
        return self.sums[0] / self.count

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each channel, 0 to 1."""
        return np.sqrt(self.sums[1] / self.count - self.mean**2)

    @property
    def count(self) -> int:
        """How many pixels were read; 1 where none was, to divide by."""
        return max(self.read * IMAGE_SHAPE[0] * IMAGE_SHAPE[1], 1)

    @property
    def duplicates(self) -> int:
        """How many images are copies of others in the folder."""
        return self.read - len(self.digests)


def inspect(layout: Layout, seed: int = 0) -> None:
    """Print what the data is, and write two pictures and inspection.json to `data/inspection`.

    Broken files are counted and named rather than an error: to see them all is the purpose.

    Raises
    ------
    ForeignPathError
        When `data/inspection` holds anything else, and no earlier inspection.
    UserError
        When the labels or the folders are missing.
    """
    folder = layout.data / "inspection"
    claim(folder)
    start_tensorflow()
    ids, labels = read_training_labels(layout.raw / TRAIN_LABELS)
    train = look_through(layout, "train", ids)
    test = look_through(layout, "test", submission_ids(layout))
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    examples = draw_example_of_each_class(layout, ids, labels, seed, folder / "classes.png")
    save(draw_class_counts(counts), folder / "class_counts.png")
    shared = len(train.digests.keys() & test.digests.keys())
    write_json(folder / "inspection.json", as_json(train, test, counts, shared, examples))
    tell(train, test, counts, shared)
    say(f"Pictures: {folder / 'classes.png'}, {folder / 'class_counts.png'}")


def claim(folder: Path) -> None:
    """Make `folder` this program's own before its first picture is written."""
    require_own_folder(folder, INSPECTION)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_marked(folder, INSPECTION):
            mark_folder(folder, INSPECTION)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def look_through(layout: Layout, name: str, ids: np.ndarray) -> Split:
    """Read all images of a split once."""
    require_folder(layout, name)
    split = Split(name, len(ids))
    expected = {f"{image_id}.png" for image_id in ids}
    found = (path.name for path in layout.images(name).iterdir())
    split.odd_files = sorted(file for file in found if file not in expected)
    with (
        progress_bar(f"Looking through {name}", len(ids), "images") as bar,
        closing(survey_images(layout, name, ids, READ_BATCH)) as batches,
    ):
        for pixels, faults in batches:
            take_note(split, pixels)
            split.broken += [f"{Path(fault.path).name} {fault.what}" for fault in faults]
            bar.update(len(pixels) + len(faults))
    return split


def take_note(split: Split, batch: np.ndarray) -> None:
    """Add a batch of images to what is known of a split."""
    split.read += len(batch)
    # Squares of 256 grey levels fit into a table: no float copy of the batch is made.
    for channel in range(3):
        levels = np.bincount(batch[..., channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        split.sums[:, channel] += levels @ values, levels @ values**2
    split.digests.update(hashlib.blake2b(image, digest_size=16).digest() for image in batch)


def draw_example_of_each_class(
    layout: Layout, ids: np.ndarray, labels: np.ndarray, seed: int, path: Path
) -> list[int | None]:
    """Draw a random readable image of each class, and return their ids; None where none is."""
    rng = np.random.default_rng(seed)
    examples: list[int | None] = []
    images = []
    for label in range(len(CLASS_NAMES)):
        chosen, image = None, np.zeros(IMAGE_SHAPE, np.uint8)
        for image_id in rng.permutation(ids[labels == label])[:SHOWN]:
            ((pixels, faults),) = survey_images(layout, "train", image_id[None], 1)
            if not faults:
                chosen, image = int(image_id), pixels[0]
                break
        examples.append(chosen)
        images.append(image)
    draw_classes(np.stack(images), CLASS_NAMES, path)
    return examples


def as_json(
    train: Split, test: Split, counts: list[int], shared: int, examples: list[int | None]
) -> dict[str, object]:
    """Return all findings as JSON values."""
    findings: dict[str, object] = {
        split.name: {
            "expected": split.expected,
            "read": split.read,
            "channel_means": split.mean.tolist(),
            "channel_deviations": split.deviation.tolist(),
            "duplicates": split.duplicates,
            "broken": split.broken,
            "odd_files": split.odd_files,
        }
        for split in (train, test)
    }
    findings["class_counts"] = dict(zip(CLASS_NAMES, counts, strict=True))
    findings["images_in_both"] = shared
    findings["example_ids"] = dict(zip(CLASS_NAMES, examples, strict=True))
    return findings


def tell(train: Split, test: Split, counts: list[int], shared: int) -> None:
    """Print the findings."""
    say(f"x_train shape: {(train.read, *IMAGE_SHAPE)}, uint8")
    say(f"y_train shape: {(sum(counts),)}")
    say(f"x_test shape:  {(test.read, *IMAGE_SHAPE)}, uint8")
    pairs = zip(CLASS_NAMES, counts, strict=True)
    say("classes: " + ", ".join(f"{name} {count:,}" for name, count in pairs))
    for split in (train, test):
        means, deviations = (
            " ".join(f"{value:.4f}" for value in values) for values in (split.mean, split.deviation)
        )
        say(f"{split.name}: mean of red, green, blue {means}; standard deviation {deviations}")
        say(f"{split.name}: {split.duplicates:,} exact copies of other images in it")
        say(f"{split.name}: {listed(split.broken)} of the files unreadable")
        say(f"{split.name}: {listed(split.odd_files)} files that do not belong there")
    say(f"{shared:,} images are in both train and test, pixel for pixel")


def listed(items: list[str]) -> str:
    """Return how many items there are, with the first of them."""
    more = ", …" if len(items) > SHOWN else ""
    return f"{len(items):,}" + (f" ({'; '.join(items[:SHOWN])}{more})" if items else "")
