"""Read the competition's CSV files: the training labels and the ids of a submission."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kaggle_cifar import competition
from kaggle_cifar.data.sources import how_to_restore
from kaggle_cifar.errors import DataMissingError, UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import regular_file

if TYPE_CHECKING:
    import numpy as np

HEADER = "id,label"
LARGEST = 2**28  # bytes; the competition's own files have 5 MB

# An id is a plain integer that fits into int64; more digits are a fault, not an overflow.
ROW = re.compile(r"(\d{1,18}),([^,\n]*)", re.ASCII)
ROWS = re.compile(rf"^{ROW.pattern}$", re.ASCII | re.MULTILINE)


class InvalidTableError(UserError):
    """The CSV at `path` is not as expected; `fault` says why and `line` where, if known."""

    def __init__(self, path: Path, fault: str, line: int | None = None, remedy: str = "") -> None:
        place = f"{path}, line {line}" if line else f"{path}"
        super().__init__(f"{place}: {fault}. {remedy}".rstrip())
        self.path, self.fault, self.line = path, fault, line


def read_rows(path: Path) -> list[tuple[str, str]]:
    """Return the id and the label of every row of the CSV at `path` as text.

    Raises
    ------
    DataMissingError
        If the file is missing.
    InvalidTableError
        If it has another header, no row, or a line that is not an id and a label.
    """
    header, _, body = read_table(path).partition("\n")
    if header != HEADER:
        fault = f"expected the header {HEADER!r}, found {header[:40]!r}"
        raise InvalidTableError(path, fault, remedy=how_to_restore(path))
    rows: list[tuple[str, str]] = ROWS.findall(body)
    lines = body.removesuffix("\n").split("\n") if body else []
    if len(rows) != len(lines):
        number, line = next(
            (number, line) for number, line in enumerate(lines, start=2) if not ROW.fullmatch(line)
        )
        fault = f"expected an integer id, a comma and a label, found {line[:60]!r}"
        raise InvalidTableError(path, fault, number, how_to_restore(path))
    if not rows:
        raise InvalidTableError(path, "no rows after the header", remedy=how_to_restore(path))
    return rows


def read_table(path: Path, remedy: str = "") -> str:
    """Return the text of the CSV at `path` with plain newlines.

    `remedy` is for errors, by default how to get the competition's own file again.
    """
    remedy = remedy or how_to_restore(path)
    try:
        text = read_bytes(path, remedy).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidTableError(path, "not UTF-8 text", remedy=remedy) from None
    return text.replace("\r\n", "\n")


def read_bytes(path: Path, remedy: str) -> bytes:
    """Return the content of the CSV at `path`; `remedy` says what to do if it is missing.

    Raises
    ------
    ForeignPathError
        If it is a folder, a named pipe, a device or another endless thing.
    DataMissingError
        If it is missing.
    InvalidTableError
        If it is too large to be a CSV of this competition.
    UserError
        If it cannot be read.
    """
    target = regular_file(path)
    try:
        size = target.stat().st_size
        if size > LARGEST:
            fault = f"{size / 2**20:,.0f} MiB are too large for a CSV of this competition"
            raise InvalidTableError(path, fault)
        return target.read_bytes()
    except FileNotFoundError:
        raise DataMissingError(path, f"{path} is missing. {remedy}") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from error


def check_duplicate_ids(path: Path, ids: list[int]) -> None:
    """Raise an InvalidTableError for the first id that occurs twice in `ids`."""
    if len(set(ids)) == len(ids):
        return
    first_lines: dict[int, int] = {}
    for number, image_id in enumerate(ids, start=2):
        if image_id in first_lines:
            fault = f"duplicate id {image_id}, first used on line {first_lines[image_id]}"
            raise InvalidTableError(path, fault, number)
        first_lines[image_id] = number


def read_training_labels(path: Path) -> "tuple[np.ndarray, np.ndarray]":
    """Read `trainLabels.csv`: ids int64 (n,) in ascending order, class indices int32 (n,).

    Raises
    ------
    DataMissingError
        If the file is missing.
    InvalidTableError
        If the file or a row of it is invalid, or an id is duplicated.
    """
    import numpy as np

    rows = read_rows(path)
    class_indices = {name: index for index, name in enumerate(competition.CLASS_NAMES)}
    for number, (image_id, label) in enumerate(rows, start=2):
        if label not in class_indices:
            found = f"unknown label {label!r}" if label else "no label"
            classes = ", ".join(competition.CLASS_NAMES)
            fault = f"{found} for the id {image_id}, expected one of {classes}"
            raise InvalidTableError(path, fault, number)
    ids = [int(image_id) for image_id, _ in rows]
    check_duplicate_ids(path, ids)
    order = np.argsort(np.array(ids, dtype=np.int64))
    labels = np.array([class_indices[label] for _, label in rows], dtype=np.int32)
    return np.array(ids, dtype=np.int64)[order], labels[order]


def labels_of(project: ProjectPaths, ids: "np.ndarray") -> "np.ndarray":
    """Return the class indices int32 (n,) of training images.

    Raises
    ------
    InvalidTableError
        If an image has no label, and as `read_training_labels`.
    """
    import numpy as np

    path = project.raw / competition.TRAIN_LABELS
    known, labels = read_training_labels(path)
    if not np.isin(ids, known).all():
        unknown = ids[~np.isin(ids, known)][0]
        fault = f"no label for the id {unknown}, on which the run was validated"
        raise InvalidTableError(path, fault, remedy="Use --data-dir to name the run's data.")
    return labels[np.searchsorted(known, ids)]


def read_ids(path: Path) -> list[int]:
    """Return the ids of `sampleSubmission.csv` in the order of the file.

    Raises
    ------
    DataMissingError
        If the file is missing.
    InvalidTableError
        If the file or a row of it is invalid, or an id is duplicated.
    """
    ids = [int(image_id) for image_id, _ in read_rows(path)]
    check_duplicate_ids(path, ids)
    return ids


def expected_ids(project: ProjectPaths) -> Sequence[int]:
    """Return the ids that a submission must hold; this does not import numpy.

    They are those of `sampleSubmission.csv`, or 1 to 300000 if that file is missing.
    """
    path = project.raw / competition.SAMPLE_SUBMISSION
    return read_ids(path) if path.exists() else range(1, competition.TEST_COUNT + 1)


def describe_expected_ids(project: ProjectPaths) -> str:
    """Return the sentence on where `expected_ids` come from."""
    path = project.raw / competition.SAMPLE_SUBMISSION
    if path.exists():
        return f"The expected ids are those of {path}."
    return (
        f"{path} is missing, so the expected ids are the competition's own, 1 to "
        f"{competition.TEST_COUNT:,}."
    )


def submission_ids(project: ProjectPaths) -> "np.ndarray":
    """Return `expected_ids` as int64 (n,) in ascending order."""
    import numpy as np

    return np.sort(np.array(expected_ids(project), dtype=np.int64))
