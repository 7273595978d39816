"""A run's history.csv: a row for each epoch."""

import csv
import io
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import (
    COUNT,
    FROM_0,
    NUMBER,
    SECONDS,
    SHARE,
    DamagedFileError,
    Kind,
    check_values,
    optional,
)
from kaggle_cifar.files import write_text
from kaggle_cifar.ownership import regular_file

Row = dict[str, Any]

COLUMNS: dict[str, Kind] = {
    "epoch": COUNT,
    "loss": NUMBER,
    "accuracy": SHARE,
    "val_loss": optional(NUMBER),
    "val_accuracy": optional(SHARE),
    "learning_rate": FROM_0,
    "seconds": SECONDS,
}


def write_history(path: Path, history: list[Row]) -> None:
    """Write the rows of all epochs to `path`, atomically."""
    import pandas as pd

    write_text(path, pd.DataFrame(history).to_csv(index=False))


def read_history(path: Path) -> list[Row]:
    """Return the rows of all epochs, none if the file does not exist.

    Raises
    ------
    DamagedFileError
        If a column is missing or a cell has an invalid value. In `readable`, such cells are
        None, and the first row with a wrong epoch number ends the rows.
    """
    if not path.exists():
        return []
    rows, faults = _parse(_read_text(path))
    if faults:
        raise DamagedFileError(path, faults, rows)
    return rows


def _read_text(path: Path) -> str:
    try:
        return regular_file(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DamagedFileError(path, ["it is not UTF-8 text"], []) from None


def _parse(text: str) -> tuple[list[Row], list[str]]:
    """Return the readable rows, and a fault for each invalid cell."""
    rows: list[Row] = []
    reader = csv.DictReader(io.StringIO(text))
    try:
        found = set(reader.fieldnames or ())
        faults = [f"the column {key} is missing" for key in COLUMNS if key not in found]
        kinds = {key: kind for key, kind in COLUMNS.items() if key in found}
        for number, cells in enumerate(reader, start=1):
            parsed = {key: _parse_cell(cells[key]) for key in kinds}
            values, wrong = check_values(parsed, kinds, prefix=f"row {number}: ")
            faults += wrong
            if values.get("epoch") != number:
                faults.append(f"row {number}: epoch must be {number}")
                break
            rows.append(dict.fromkeys(COLUMNS) | values)
    except csv.Error as error:
        faults = [f"it is not a table ({error})"]
    return rows, faults


def _parse_cell(cell: str | None) -> float | str | None:
    """Return the number in a cell, None if it is empty, else its text."""
    if not cell:
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell
