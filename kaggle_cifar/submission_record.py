"""The record beside a submission's CSV: how it was made, what was sent to Kaggle, its scores.

`s.csv` has its record in `s.json`. The keys at its top describe the CSV as it is now. What was
sent of an earlier content of the CSV, or sent again, stays in the list `earlier`.
"""

import enum
import hashlib
import os
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from kaggle_cifar import ownership, storage, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED, ForeignPathError, regular_file
from kaggle_cifar.recipes import NAME
from kaggle_cifar.storage import Layout

KIND = "submission"
LONGEST_NAME = 200  # bytes of a file name: locks and partial files have longer ones, up to 255
HOW_TO_GET_ONE = "Run `kaggle-cifar predict` to write one."


class State(enum.StrEnum):
    """What is known about the sending of a CSV."""

    WRITTEN = "WRITTEN"  # never sent
    SENDING = "SENDING"  # the request is under way, or the process died during it
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

# What a record says about one sending; the other keys are about the CSV.
SENDING_KEYS = (
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
    """A path cannot be a submission's; `path` says which."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class InvalidRecordError(UserError):
    """A record holds a value that this program does not write; `path` and `key` say where."""

    def __init__(self, path: Path, key: str, value: Any) -> None:
        super().__init__(
            f"{path}: the value of {key!r} cannot be {str(value)[:60]!r}. Restore the file, or "
            "move it away together with its CSV."
        )
        self.path, self.key = path, key


# Paths


def require_csv_path(path: Path) -> Path:
    """Return the regular file, new or there already, that a submission's path leads to.

    Raises
    ------
    CsvNameError
        When its name does not end in `.csv`, is too long, or is reserved.
    ForeignPathError
        When it leads to anything but a regular file.
    """
    target = regular_file(path)
    for name in (path.name, target.name):
        if Path(name).suffix != ".csv":
            raise CsvNameError(path, f"{path} cannot be a submission: {name} must end in '.csv'.")
        if len(os.fsencode(name)) > LONGEST_NAME:
            raise CsvNameError(
                path, f"The file name {name[:40]}… is longer than {LONGEST_NAME} bytes. Shorten it."
            )
        if name.startswith(RESERVED):
            raise CsvNameError(path, f"{path}: names that begin with {RESERVED} are reserved.")
    return target


def require_output(layout: Layout, path: Path) -> None:
    """Raise a UserError unless `predict` may write a CSV and its record to `path`.

    Raises
    ------
    CsvNameError
        When the name is unfit, or the file would be among the data or the runs.
    ForeignPathError
        When something that is no CSV, or no record, is in the way.
    """
    target = require_csv_path(path)
    homes = [folder.resolve() for folder in (layout.submissions, layout.data, layout.runs)]
    around = [home for home in homes if target.is_relative_to(home)]
    # The innermost folder counts: the submissions may be in a folder inside the data.
    if around and max(around, key=lambda home: len(home.parts)) != homes[0]:
        raise CsvNameError(
            path,
            f"{path} is in a folder of data or runs, which is no place for a submission. "
            f"Choose a file in {layout.submissions}, for instance.",
        )
    read_record(path)


def record_path(csv: Path) -> Path:
    """Return the path of the record of a CSV; if the CSV is a link, of what it leads to."""
    return regular_file(csv).with_suffix(".json")


def digest_of(csv: Path) -> str:
    """Return the SHA-256 of a CSV in hexadecimal."""
    return hashlib.sha256(tables.read_bytes(csv, HOW_TO_GET_ONE)).hexdigest()


# Reading


def read_record(csv: Path) -> dict[str, Any]:
    """Return the record of a CSV, empty if it has none.

    Raises
    ------
    ForeignPathError
        When the JSON beside it is no record.
    InvalidRecordError
        When a value in it is none that this program writes.
    """
    path = record_path(csv)
    record = ownership.read_record(path, KIND)
    for part in entries_of(record, path):
        for key, is_valid in VALID.items():
            if key in part and not is_valid(part[key]):
                raise InvalidRecordError(path, key, part[key])
    return record


def entries_of(record: dict[str, Any], path: Path | None = None) -> list[dict[str, Any]]:
    """Return the record's parts, each about one content or sending: the earlier ones, the last."""
    earlier = record.get("earlier", [])
    if not isinstance(earlier, list) or not all(isinstance(part, dict) for part in earlier):
        raise InvalidRecordError(path or Path("record"), "earlier", earlier)
    return [*earlier, {key: value for key, value in record.items() if key != "earlier"}]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_reference(value: Any) -> bool:
    return value is None or type(value) is int


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
    "sha256": _is_text,
    "status": _is_state,
    "token": _is_text,
    "submitted_at": _is_time,
    "ref": _is_reference,
    "public_score": _is_text_or_none,
    "private_score": _is_text_or_none,
    "error_description": _is_text_or_none,
}


def state_of(record: dict[str, Any]) -> State:
    """Return the state of a record or of a part of one."""
    return State(record.get("status", State.WRITTEN))


def all_entries(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the parts of all records in a folder, and a sentence for each that is unreadable.

    Each part has the name of its CSV as `file`. A record whose CSV was moved away counts. A JSON
    that is no record counts as unreadable only if a CSV of its name is beside it.
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
    """Write the record of a CSV, unless something else is in its place; return it."""
    storage.write_record(record_path(csv), KIND, record)
    return record


def update_record(csv: Path, **changes: Any) -> dict[str, Any]:
    """Change some values of the record of a CSV and return it."""
    return write_record(csv, read_record(csv) | changes)


def change_state(csv: Path, state: State, **changes: Any) -> dict[str, Any]:
    """Record a new state of a sending, and other values; return the record.

    Raises
    ------
    ValueError
        When the state cannot follow on the recorded one.
    """
    before = state_of(read_record(csv))
    if state not in NEXT[before]:
        raise ValueError(f"{csv}: {state} cannot follow on {before}")
    return update_record(csv, status=state, **changes)


def start_sending(csv: Path, digest: str, **values: Any) -> dict[str, Any]:
    """Record that the content of that digest is being sent; return the record.

    What was sent before stays in the record. How the CSV was made stays if it is still so.
    """
    record = read_record(csv)
    made = {key: value for key, value in entries_of(record)[-1].items() if key not in SENDING_KEYS}
    started = {
        **(made if record.get("sha256") == digest else {}),
        "sha256": digest,
        "status": State.SENDING,
        **values,
        **kept_entries(record),
    }
    return write_record(csv, started)


def kept_entries(record: dict[str, Any]) -> dict[str, Any]:
    """Return `earlier` for the record that follows on this one: all that was or may be sent."""
    kept = [part for part in entries_of(record) if state_of(part) in MAYBE_SENT]
    return {"earlier": kept} if kept else {}
