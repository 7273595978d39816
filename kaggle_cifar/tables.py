"""The two CSV files of the competition: which id has which label, which ids a submission holds."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_cifar import competition
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import regular_file
from kaggle_cifar.storage import Layout

if TYPE_CHECKING:
    import numpy as np

HEADER = "id,label"
REMEDY = "Run `kaggle-cifar download` to fetch it."
LARGEST = 2**28  # bytes; the competition's own files have 5 MB

# An id is a plain integer that fits into int64; more digits are a fault, not an overflow.
ROW = re.compile(r"(\d{1,18}),([^,\n]*)", re.ASCII)
ROWS = re.compile(rf"^{ROW.pattern}$", re.ASCII | re.MULTILINE)


def read_rows(path: Path) -> list[tuple[str, str]]:
    """Return the id and the label of every row of the CSV at `path`, as they stand there.

    Raises
    ------
    UserError
        When the file is missing, has another header, or has a line that is no such row.
    """
    header, _, body = read_table(path).partition("\n")
    if header != HEADER:
        raise UserError(
            f"{path} must begin with the line '{HEADER}', but begins with {header[:40]!r}. {REMEDY}"
        )
    rows: list[tuple[str, str]] = ROWS.findall(body)
    lines = body.removesuffix("\n").split("\n") if body else []
    if len(rows) != len(lines):
        raise unreadable_line(path, lines)
    return rows


def read_table(path: Path, remedy: str = REMEDY) -> str:
    """Return the text of the CSV at `path` with plain newlines; `remedy` is for errors."""
    try:
        text = read_bytes(path, remedy).decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text. {remedy}") from None
    return text.replace("\r\n", "\n")


def read_bytes(path: Path, remedy: str) -> bytes:
    """Return the content of the file at `path`; `remedy` says what to do if it is missing.

    Raises
    ------
    ForeignPathError
        When it is a folder, a named pipe, a device or another thing without an end.
    UserError
        When it is missing, too large to be a CSV of this competition, or cannot be read.
    """
    target = regular_file(path)
    try:
        size = target.stat().st_size
        if size > LARGEST:
            raise UserError(
                f"{path} has {size / 2**20:,.0f} MiB: it is too large to be a CSV of this "
                "competition."
            )
        return target.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from error


def unreadable_line(path: Path, lines: list[str]) -> UserError:
    """Return the error that names the first of `lines` that is no row of id and label."""
    number, line = next(
        (number, line) for number, line in enumerate(lines, start=2) if not ROW.fullmatch(line)
    )
    return UserError(
        f"{path}, line {number}: expected an integer id, a comma and a label, found {line[:60]!r}. "
        + REMEDY
    )


def refuse_doubled_ids(path: Path, ids: list[int]) -> None:
    """Raise a UserError that names the first id that stands in `ids` twice."""
    if len(set(ids)) == len(ids):
        return
    first_lines: dict[int, int] = {}
    for number, image_id in enumerate(ids, start=2):
        if image_id in first_lines:
            raise UserError(
                f"{path}, line {number}: the id {image_id} stands on line "
                f"{first_lines[image_id]} already; every id must stand there once."
            )
        first_lines[image_id] = number


def read_training_labels(path: Path) -> "tuple[np.ndarray, np.ndarray]":
    """Read `trainLabels.csv`: ids int64 (n,) in ascending order, class indices int32 (n,).

    Raises
    ------
    UserError
        When the file or its header is wrong, a label is missing or unknown, or an id is doubled.
    """
    import numpy as np

    rows = read_rows(path)
    if not rows:
        raise UserError(f"{path} holds no row below its header.")
    class_indices = {name: index for index, name in enumerate(competition.CLASS_NAMES)}
    try:
        labels = np.array([class_indices[label] for _, label in rows], dtype=np.int32)
    except KeyError:
        raise unknown_label(path, rows) from None
    ids = [int(image_id) for image_id, _ in rows]
    refuse_doubled_ids(path, ids)
    order = np.argsort(np.array(ids, dtype=np.int64))
    return np.array(ids, dtype=np.int64)[order], labels[order]


def labels_of(layout: Layout, ids: "np.ndarray") -> "np.ndarray":
    """Return the class indices int32 (n,) of training images.

    Raises
    ------
    UserError
        When one has no label, and as `read_training_labels`.
    """
    import numpy as np

    path = layout.raw / competition.TRAIN_LABELS
    known, labels = read_training_labels(path)
    if not np.isin(ids, known).all():
        unknown = ids[~np.isin(ids, known)][0]
        raise UserError(
            f"{path} has no label for the id {unknown}, on which the run was validated: it is "
            "another data set's. Name the right folder by --data-dir."
        )
    return labels[np.searchsorted(known, ids)]


def unknown_label(path: Path, rows: list[tuple[str, str]]) -> UserError:
    """Return the error that names the first row whose label is no class."""
    number, image_id, label = next(
        (number, image_id, label)
        for number, (image_id, label) in enumerate(rows, start=2)
        if label not in competition.CLASS_NAMES
    )
    found = f"has the unknown label {label!r}" if label else "has no label"
    return UserError(
        f"{path}, line {number}: the id {image_id} {found}. "
        f"The labels are {', '.join(competition.CLASS_NAMES)}."
    )


def read_ids(path: Path) -> list[int]:
    """Return the ids of `sampleSubmission.csv` in the order of the file.

    Raises
    ------
    UserError
        When the file or its header is wrong, is empty, or doubles an id.
    """
    ids = [int(image_id) for image_id, _ in read_rows(path)]
    if not ids:
        raise UserError(f"{path} holds no row below its header.")
    refuse_doubled_ids(path, ids)
    return ids


def expected_ids(layout: Layout) -> Sequence[int]:
    """Return the ids that a submission must hold; needs no numpy.

    They are those of `sampleSubmission.csv`; where that file is missing, 1 to 300000.
    """
    path = layout.raw / competition.SAMPLE_SUBMISSION
    return read_ids(path) if path.exists() else range(1, competition.TEST_COUNT + 1)


def submission_ids(layout: Layout) -> "np.ndarray":
    """Return `expected_ids` as int64 (n,) in ascending order."""
    import numpy as np

    return np.sort(np.array(expected_ids(layout), dtype=np.int64))
