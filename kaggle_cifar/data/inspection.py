"""Inspect all images: counts, channel means, duplicates, broken and unexpected files."""

import hashlib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SHAPE, TRAIN_LABELS
from kaggle_cifar.console import counted, progress_bar, say
from kaggle_cifar.data.dataset import READ_BATCH
from kaggle_cifar.data.images import require_folder, survey_images
from kaggle_cifar.data.labels import read_training_labels, submission_ids
from kaggle_cifar.data.pictures import draw_class_counts, draw_classes
from kaggle_cifar.figures import save
from kaggle_cifar.files import ProjectPaths, explain_os_error, write_json
from kaggle_cifar.ownership import is_marked, mark_folder, require_own_folder
from kaggle_cifar.tensorflow_setup import start_tensorflow

SHOWN = 5  # examples of a finding that are printed
INSPECTION = "inspection"  # the kind of the folder in its mark


@dataclass
class SplitFindings:
    """Findings in the folder of images of one split."""

    name: str
    expected: int
    read: int = 0
    broken: list[str] = field(default_factory=list)
    odd_files: list[str] = field(default_factory=list)
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))  # values; squares
    digests: Counter[bytes] = field(default_factory=Counter)

    @property
    def mean(self) -> np.ndarray:
        """The mean of each channel, 0 to 1."""
        return np.asarray(self.sums[0] / self.pixels)

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation of each channel, 0 to 1."""
        return np.asarray(np.sqrt(self.sums[1] / self.pixels - self.mean**2))

    @property
    def pixels(self) -> int:
        """The number of pixels that were read, at least 1 because it is a divisor."""
        return max(self.read * IMAGE_SHAPE[0] * IMAGE_SHAPE[1], 1)

    @property
    def duplicates(self) -> int:
        """The number of images that are copies of others in the folder."""
        return self.read - len(self.digests)

    def add(self, batch: np.ndarray) -> None:
        """Add a batch of readable images."""
        self.read += len(batch)
        # Each channel has 256 levels, so counting them avoids a copy of the batch in floats.
        for channel in range(3):
            levels = np.bincount(batch[..., channel].ravel(), minlength=256)
            values = np.arange(256) / 255
            self.sums[:, channel] += levels @ values, levels @ values**2
        self.digests.update(hashlib.blake2b(image, digest_size=16).digest() for image in batch)


@dataclass(frozen=True)
class Inspection:
    """Findings about the data, and the folder that keeps them."""

    folder: Path
    train: SplitFindings
    test: SplitFindings
    class_counts: dict[str, int]
    shared: int  # images that are in both splits

    def lines(self) -> list[str]:
        """Return a line for each finding."""
        counts = self.class_counts
        lines = [
            f"x_train shape: {(self.train.read, *IMAGE_SHAPE)}, uint8",
            f"y_train shape: {(sum(counts.values()),)}",
            f"x_test shape:  {(self.test.read, *IMAGE_SHAPE)}, uint8",
            "classes: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()),
        ]
        for split in (self.train, self.test):
            means, deviations = (
                " ".join(f"{value:.4f}" for value in values)
                for values in (split.mean, split.deviation)
            )
            lines += [
                f"{split.name}: mean of red, green, blue {means}; standard deviation {deviations}",
                f"{split.name}: {counted(split.duplicates, 'duplicate image')}",
                f"{split.name}: {summarize('broken file', split.broken)}",
                f"{split.name}: {summarize('unexpected file', split.odd_files)}",
            ]
        return [*lines, f"in both train and test: {counted(self.shared, 'image')}"]


def inspect(project: ProjectPaths, seed: int = 0) -> None:
    """Print what `inspect_data` finds; raises as it does."""
    found = inspect_data(project, seed)
    for line in found.lines():
        say(line)
    say(f"Figures: {found.folder / 'classes.png'}, {found.folder / 'class_counts.png'}")


def inspect_data(project: ProjectPaths, seed: int = 0) -> Inspection:
    """Return findings about the data; write two figures and inspection.json to `data/inspection`.

    Broken files are no error: the findings count and name them.

    Raises
    ------
    ForeignPathError
        If this program did not write `data/inspection`.
    UserError
        If the labels or the images are missing.
    """
    folder = project.data / "inspection"
    require_own_folder(folder, INSPECTION)
    ids, labels = read_training_labels(project.raw / TRAIN_LABELS)
    for split in ("train", "test"):
        require_folder(project, split)
    start_tensorflow()
    train = inspect_split(project, "train", ids)
    test = inspect_split(project, "test", submission_ids(project))
    claim_folder(folder)
    counts = np.bincount(labels, minlength=len(CLASS_NAMES)).tolist()
    examples = draw_example_of_each_class(project, ids, labels, seed, folder / "classes.png")
    save(draw_class_counts(counts), folder / "class_counts.png")
    shared = len(train.digests.keys() & test.digests.keys())
    found = Inspection(folder, train, test, dict(zip(CLASS_NAMES, counts, strict=True)), shared)
    write_json(folder / "inspection.json", as_json(found, examples))
    return found


def claim_folder(folder: Path) -> None:
    """Create and mark `folder`, unless an earlier inspection did."""
    require_own_folder(folder, INSPECTION)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not is_marked(folder, INSPECTION):
            mark_folder(folder, INSPECTION)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def inspect_split(project: ProjectPaths, name: str, ids: np.ndarray) -> SplitFindings:
    """Read all images of a split."""
    split = SplitFindings(name, len(ids))
    expected = {f"{image_id}.png" for image_id in ids}
    found = (path.name for path in project.images(name).iterdir())
    split.odd_files = sorted(file for file in found if file not in expected)
    with (
        progress_bar(f"Inspecting {name}", len(ids), "images") as bar,
        closing(survey_images(project, name, ids, READ_BATCH)) as batches,
    ):
        for pixels, faults in batches:
            split.add(pixels)
            split.broken += [f"{Path(fault.path).name} {fault.what}" for fault in faults]
            bar.update(len(pixels) + len(faults))
    return split


def draw_example_of_each_class(
    project: ProjectPaths, ids: np.ndarray, labels: np.ndarray, seed: int, path: Path
) -> list[int | None]:
    """Draw a random readable image of each class; return the ids, None if a class has none."""
    rng = np.random.default_rng(seed)
    examples: list[int | None] = []
    images = []
    for label in range(len(CLASS_NAMES)):
        chosen, image = None, np.zeros(IMAGE_SHAPE, np.uint8)
        for image_id in rng.permutation(ids[labels == label])[:SHOWN]:
            ((pixels, faults),) = survey_images(project, "train", image_id[None], 1)
            if not faults:
                chosen, image = int(image_id), pixels[0]
                break
        examples.append(chosen)
        images.append(image)
    draw_classes(np.stack(images), CLASS_NAMES, path)
    return examples


def as_json(found: Inspection, examples: list[int | None]) -> dict[str, object]:
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
        for split in (found.train, found.test)
    }
    findings["class_counts"] = found.class_counts
    findings["images_in_both"] = found.shared
    findings["example_ids"] = dict(zip(CLASS_NAMES, examples, strict=True))
    return findings


def summarize(noun: str, items: list[str]) -> str:
    """Return the number of items, with the first of them in parentheses."""
    more = "; …" if len(items) > SHOWN else ""
    return counted(len(items), noun) + (f" ({'; '.join(items[:SHOWN])}{more})" if items else "")
