"""The section about the data, from the findings of `inspect`."""

from typing import Any, NamedTuple

from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.console import counted
from kaggle_cifar.data.pictures import draw_class_counts
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, read_object
from kaggle_cifar.report.components import Cell, GalleryImage, Picture, Table, png_uri, to_picture

FAULTS = {"broken": "broken file", "odd_files": "unexpected file"}


class DataView(NamedTuple):
    """The findings of `inspect`."""

    table: Table
    counts: Picture
    examples: list[GalleryImage]
    notes: list[str]


def view_data(project: ProjectPaths) -> DataView | None:
    """Return the findings of `inspect`; None if there are none or the file is damaged."""
    try:
        return view_findings(project, read_object(project.data / "inspection" / "inspection.json"))
    except (UserError, AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def view_findings(project: ProjectPaths, findings: dict[str, Any]) -> DataView:
    """Return the findings of `inspect` as a section; raises nearly anything for damaged ones."""
    counts = [findings["class_counts"][name] for name in CLASS_NAMES]
    rows = [split_row(name, findings[name]) for name in ("train", "test")]
    notes = [note for name in ("train", "test") for note in split_notes(name, findings[name])]
    notes.append(
        f"In both splits, pixel for pixel: {counted(findings['images_in_both'], 'image')}."
    )
    header = (
        "split",
        "readable images",
        "shape",
        "mean (r, g, b)",
        "standard deviation (r, g, b)",
        "duplicates",
    )
    text = f"Images of each class, {sum(counts):,} training images in all."
    folder = project.images("train")
    examples = [
        GalleryImage(png_uri(folder / f"{findings['example_ids'].get(name)}.png"), (name,))
        for name in CLASS_NAMES
    ]
    return DataView(
        Table("The images", header, rows),
        to_picture(draw_class_counts(counts), text),
        examples,
        notes,
    )


def split_row(name: str, split: dict[str, Any]) -> tuple[Cell, ...]:
    """Return the row of the training or the test images."""
    return (
        Cell(name),
        Cell(f"{split['read']:,} of {split['expected']:,}", split["read"]),
        Cell("32 x 32 x 3, uint8"),
        Cell(" ".join(f"{mean:.4f}" for mean in split["channel_means"])),
        Cell(" ".join(f"{deviation:.4f}" for deviation in split["channel_deviations"])),
        Cell(f"{split['duplicates']:,}", split["duplicates"]),
    )


def split_notes(name: str, split: dict[str, Any]) -> list[str]:
    """Return a sentence for each kind of faulty file."""
    return [
        f"{name}: {counted(len(split[key]), fault)}: {'; '.join(split[key][:5])}"
        for key, fault in FAULTS.items()
        if split[key]
    ]
