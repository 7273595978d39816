"""The section about the data, from what `inspect` found."""

from typing import Any, NamedTuple

from kaggle_cifar import figures
from kaggle_cifar.competition import CLASS_NAMES
from kaggle_cifar.errors import UserError
from kaggle_cifar.outline import read_object
from kaggle_cifar.report.elements import Cell, Picture, Shown, Table, data_uri, read_png, to_picture
from kaggle_cifar.storage import Layout


class DataView(NamedTuple):
    """What `inspect` found in the data."""

    table: Table
    counts: Picture
    examples: list[Shown]
    notes: list[str]


def describe_data(layout: Layout) -> DataView | None:
    """Return what `inspect` found; None where it was not run or its findings are damaged."""
    folder = layout.data / "inspection"
    try:
        findings = read_object(folder / "inspection.json")
        counts = findings["class_counts"]
        rows = [split_row(name, findings[name]) for name in ("train", "test")]
        notes = [note for name in ("train", "test") for note in split_notes(name, findings[name])]
        notes.append(f"{findings['images_in_both']:,} images are in both, pixel for pixel.")
        figure = figures.draw_class_counts([counts[name] for name in CLASS_NAMES])
    except (UserError, AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    header = ("images", "read", "shape", "mean (r, g, b)", "deviation (r, g, b)", "copies")
    return DataView(
        Table("The images", header, rows),
        to_picture(
            figure, f"How many of the {sum(counts.values()):,} training images each class has."
        ),
        show_examples(layout, findings.get("example_ids")),
        notes,
    )


def show_examples(layout: Layout, ids: Any) -> list[Shown]:
    """Return an image of each class; none where an older version did not note which it chose."""
    if not isinstance(ids, dict):
        return []
    folder = layout.images("train")
    return [
        Shown(data_uri(read_png(folder / f"{ids.get(name)}.png")), (name,)) for name in CLASS_NAMES
    ]


def split_row(name: str, split: dict[str, Any]) -> tuple[Cell, ...]:
    """Return a line about the training or the test images."""
    return (
        Cell(name),
        Cell(f"{split['read']:,} of {split['expected']:,}", split["read"]),
        Cell("32 x 32 x 3, uint8"),
        Cell(" ".join(f"{mean:.4f}" for mean in split["channel_means"])),
        Cell(" ".join(f"{deviation:.4f}" for deviation in split["channel_deviations"])),
        Cell(f"{split['duplicates']:,}", split["duplicates"]),
    )


def split_notes(name: str, split: dict[str, Any]) -> list[str]:
    """Return a sentence for each kind of file that should not be so."""
    kinds = (("broken", "cannot be read"), ("odd_files", "do not belong there"))
    return [
        f"{name}: {len(split[key]):,} files {what}: {'; '.join(split[key][:5])}"
        for key, what in kinds
        if split[key]
    ]
