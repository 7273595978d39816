"""The sources of `data/raw` (Kaggle, the sample, Keras), and how to get their files again."""

from pathlib import Path

from kaggle_cifar.files import ProjectPaths

SOURCE_NAME = "source.json"  # in a folder of data that is neither Kaggle's nor the sample
SOURCE_KIND = "source of data"
SOLUTION = "solution.csv"  # the sample has one, Kaggle serves none
SAME_SEED = " with the seed of the sample"


def data_command(data: Path, *words: object) -> str:
    """Return this program's command line for a folder of data."""
    return ProjectPaths(data=data).command(*words)


def how_to_restore(*paths: Path) -> str:
    """Return the sentence on how to get missing or damaged files of `data/raw` again."""
    raw = paths[0].parent
    damaged = " and ".join(str(path) for path in paths if path.exists())
    words: list[object] = ["download"]
    same_seed = ""
    if (raw / SOURCE_NAME).exists():
        words += ["--source", "keras"]
    elif (raw / SOLUTION).exists():
        damaged, words, same_seed = f"the sample's files in {raw}", ["sample", raw], SAME_SEED
    command = f"`{data_command(raw.parent, *words)}`{same_seed}"
    return f"Delete {damaged}, then run {command}." if damaged else f"Run {command}."


def archive_of(folder: Path) -> Path:
    """Return the archive of a folder of images, which may be missing."""
    return folder.parent / "raw" / f"{folder.name}.7z"


def how_to_extract(folder: Path) -> str:
    """Return the sentence on how to get a missing folder of images, `data/train` or `data/test`."""
    archive = archive_of(folder)
    if archive.exists():
        return f"Run `{data_command(folder.parent, 'extract')}`."
    return how_to_restore(archive)
