"""The record of a submission's CSV: how it was made, what was sent to Kaggle, its scores.

`s.csv` has its record in `s.json`. The keys at its top describe the CSV as it is now. Submissions
of an earlier content of the CSV, and earlier submissions of the same content, stay in the list
`earlier`.
"""

import enum
import hashlib
import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any

from kaggle_cifar import files, ownership
from kaggle_cifar.data import labels
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED, ForeignPathError, regular_file
from kaggle_cifar.recipes import NAME

KIND = "submission"
LONGEST_NAME = 200  # bytes of a file name: locks and partial files have longer ones, up to 255
CHECK_PATH = "Check the path."


class State(enum.StrEnum):
    """What is known about the submission of a CSV."""

    WRITTEN = "WRITTEN"  # never sent
    SENDING = "SENDING"  # the request is running, or the process died during it
    UNKNOWN = "UNKNOWN"  # the request had no clear answer, and Kaggle does not list it
    NOT_SENT = "NOT SENT"  # Kaggle refused the request
    PENDING = "PENDING"  # Kaggle has it and has not scored it
    COMPLETE = "COMPLETE"  # Kaggle has scored it
    ERROR = "ERROR"  # Kaggle has it and could not score it


UNCERTAIN = frozenset({State.SENDING, State.UNKNOWN})
AT_KAGGLE = frozenset({State.PENDING, State.COMPLETE, State.ERROR})
MAYBE_SENT = UNCERTAIN | AT_KAGGLE

NEXT = {
    State.WRITTEN: {State.SENDING},
    State.NOT_SENT: {State.SENDING},
    State.SENDING: {State.NOT_SENT, State.UNKNOWN, *AT_KAGGLE},
    State.UNKNOWN: {State.UNKNOWN, *AT_KAGGLE},
    **dict.fromkeys(AT_KAGGLE, AT_KAGGLE),  # Kaggle may score a submission again
}

# The keys of a record that are about one submission; the others are about the CSV.
SUBMISSION_KEYS = (
    "status",
    "message",
    "token",
    "submitted_at",
    "ref",
    "public_score",
    "private_score",
    "error_description",
)


class CsvNameError(UserError):
    """A path cannot be that of a submission; `path` is the path."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class InvalidRecordError(UserError):
    """A record has a value that this program does not write; `path` and `key` say where."""

    def __init__(self, path: Path, key: str, value: Any) -> None:
        super().__init__(
            f"{path}: invalid value {str(value)[:60]!r} of {key!r}. Restore the file, or move it "
            "away together with its CSV."
        )
        self.path, self.key = path, key


# Paths


def require_csv_path(path: Path) -> Path:
    """Return the regular file, new or existing, that the path of a submission leads to.

    Raises
    ------
    CsvNameError
        If its name does not end in `.csv`, is too long, or is reserved.
    ForeignPathError
        If it leads to anything but a regular file.
    """
    target = regular_file(path)
    for name in (path.name, target.name):
        if Path(name).suffix != ".csv":
            raise CsvNameError(path, f"{path} cannot be a submission: {name} must end in '.csv'.")
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise CsvNameError(
                path, f"The file name {name[:40]}… is too long. Use at most {LONGEST_NAME} bytes."
            )
        if name.startswith(RESERVED):
            raise CsvNameError(
                path,
                f"{path} cannot be a submission. Names that begin with {RESERVED} are reserved.",
            )
    return target


def record_path(csv: Path) -> Path:
    """Return the path of the record of a CSV. If the CSV is a link, it is followed."""
    return regular_file(csv).with_suffix(".json")


def digest_of(csv: Path) -> str:
    """Return the SHA-256 of a CSV in hexadecimal."""
    return hashlib.sha256(labels.read_bytes(csv, CHECK_PATH)).hexdigest()


# Reading


def read_record(csv: Path) -> dict[str, Any]:
    """Return the record of a CSV, empty if it has none.

    Raises
    ------
    ForeignPathError
        If the JSON file at the record's place is not a record.
    InvalidRecordError
        If it has a value that this program does not write.
    """
    path = record_path(csv)
    record = ownership.read_record(path, KIND)
    for entry in entries_of(record, path):
        for key, is_valid in VALID.items():
            if key in entry and not is_valid(entry[key]):
                raise InvalidRecordError(path, key, entry[key])
    return record


def entries_of(record: dict[str, Any], path: Path | None = None) -> list[dict[str, Any]]:
    """Return the entries of a record, each about one content or submission, the last one last."""
    earlier = record.get("earlier", [])
    if not isinstance(earlier, list) or not all(isinstance(part, dict) for part in earlier):
        raise InvalidRecordError(path or Path("record"), "earlier", earlier)
    return [*earlier, {key: value for key, value in record.items() if key != "earlier"}]


def _is_type(*types: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in types


def _is_state(value: Any) -> bool:
    return isinstance(value, str) and value in list(State)


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(name, str) and len(name) < 256 and re.fullmatch(NAME, name) for name in value
    )


VALID: dict[str, Callable[[Any], bool]] = {
    "runs": _is_list_of_names,
    "sha256": _is_type(str),
    "status": _is_state,
    "token": _is_type(str),
    "submitted_at": _is_time,
    "ref": _is_type(int, NoneType),
    "public_score": _is_type(str, NoneType),
    "private_score": _is_type(str, NoneType),
    "error_description": _is_type(str, NoneType),
}


def state_of(record: dict[str, Any]) -> State:
    """Return the state of a record or of one of its entries."""
    return State(record.get("status", State.WRITTEN))


def all_entries(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the entries of all records in a folder, and a sentence for each unreadable record.

    Each entry has the name of its CSV as `file`. A record whose CSV was moved away counts. A JSON
    file that is not a record counts as unreadable only if there is a CSV with its name.
    """
    csvs = {*folder.glob("*.csv"), *(path.with_suffix(".csv") for path in folder.glob("*.json"))}
    entries, problems = [], []
    for csv in sorted(csvs):
        try:
            entries += [{"file": csv.name, **part} for part in entries_of(read_record(csv)) if part]
        except ForeignPathError as error:
            if os.path.lexists(csv):
                problems.append(str(error))
        except UserError as error:
            problems.append(str(error))
    return entries, problems


# Writing


def write_record(csv: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write the record of a CSV, unless a foreign file is in its place; return it."""
    files.write_record(record_path(csv), KIND, record)
    return record


def update_record(csv: Path, **changes: Any) -> dict[str, Any]:
    """Change some values of the record of a CSV; return the record."""
    return write_record(csv, read_record(csv) | changes)


def change_state(csv: Path, state: State, **changes: Any) -> dict[str, Any]:
    """Record a new state of a submission, and other values; return the record.

    Raises
    ------
    ValueError
        If the state cannot follow the recorded one.
    """
    before = state_of(read_record(csv))
    if state not in NEXT[before]:
        raise ValueError(f"{csv}: {state} cannot follow {before}")
    return update_record(csv, status=state, **changes)


def start_sending(csv: Path, digest: str, **values: Any) -> dict[str, Any]:
    """Record that the content with that digest is being sent; return the record.

    Earlier submissions stay in the record. How the CSV was made stays if its content is the same.
    """
    record = read_record(csv)
    made = {
        key: value for key, value in entries_of(record)[-1].items() if key not in SUBMISSION_KEYS
    }
    started = {
        **(made if record.get("sha256") == digest else {}),
        "sha256": digest,
        "status": State.SENDING,
        **values,
        **sent_entries(record),
    }
    return write_record(csv, started)


def sent_entries(record: dict[str, Any]) -> dict[str, Any]:
    """Return the key `earlier` of the next record: all entries that were or may have been sent."""
    kept = [part for part in entries_of(record) if state_of(part) in MAYBE_SENT]
    return {"earlier": kept} if kept else {}
