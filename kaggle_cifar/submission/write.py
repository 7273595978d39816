"""The submission CSV, written once and never over a file that is not this program's."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import __version__, competition, files
from kaggle_cifar.console import counted, say
from kaggle_cifar.data import labels
from kaggle_cifar.errors import PathError, UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission.record import (
    MAYBE_SENT,
    CsvNameError,
    State,
    digest_of,
    read_record,
    require_csv_path,
    sent_entries,
    state_of,
    update_record,
    write_record,
)

if TYPE_CHECKING:
    import numpy as np

    from kaggle_cifar.training.run import Run

LONGEST_STEM = 100  # characters of a file name that lists its runs


class SubmittedCsvError(UserError):
    """A submitted CSV would be replaced; `path` is the CSV, `ref` is Kaggle's reference."""

    def __init__(self, path: Path, ref: int | None) -> None:
        super().__init__(
            f"{path} was submitted (reference {ref or 'unknown'}), so it is not replaced by other "
            "predictions. Choose another file with --output."
        )
        self.path, self.ref = path, ref


class OtherRunsError(PathError):
    """The CSV at `path` holds the predictions of other runs; `runs` are their names."""

    def __init__(self, path: Path, runs: Sequence[str]) -> None:
        super().__init__(
            path,
            f"{path} holds the predictions of {' + '.join(runs)}, so it is not replaced by those "
            "of other runs. Choose another file with --output, or move it away.",
        )
        self.runs = runs


class DuplicatePredictionError(UserError):
    """An id is predicted more than once; `image_id` is the first such id."""

    def __init__(self, path: Path, image_id: int, rows: int) -> None:
        super().__init__(
            f"{path}: the id {image_id} is predicted more than once ({rows} duplicate rows). "
            "Expected one prediction for each id."
        )
        self.image_id = image_id


def choose_output(
    project: ProjectPaths, runs: Sequence[str], views: str, weighted: bool, output: Path | None
) -> Path:
    """Return the CSV to write the predictions of `runs` to, before any work is done.

    Raises
    ------
    CsvNameError
        If the name cannot be a submission's, or the file would be among the data or the runs.
    OtherRunsError
        If the file holds the predictions of other runs.
    ForeignPathError
        If something that is not a CSV, or not a record, is in the way.
    """
    stem = "+".join(runs)
    if len(stem) > LONGEST_STEM:
        stem = f"{len(runs)}-runs-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
    suffix = ("" if views == "plain" else f"-{views}") + ("-weighted" if weighted else "")
    path = output or project.submissions / f"{stem}{suffix}.csv"
    require_submissions_folder(project, path)
    require_same_runs(path, runs)
    return path


def require_same_runs(path: Path, runs: Sequence[str]) -> None:
    """Raise an OtherRunsError if other runs predicted the CSV at `path`."""
    recorded = read_record(path).get("runs", [])
    if recorded and set(recorded) != set(runs) and path.exists():
        raise OtherRunsError(path, recorded)


def require_submissions_folder(project: ProjectPaths, path: Path) -> None:
    """Raise a CsvNameError if a CSV would be among the data or the runs."""
    target = require_csv_path(path)
    folders = [folder.resolve() for folder in (project.submissions, project.data, project.runs)]
    parents = [folder for folder in folders if target.is_relative_to(folder)]
    # The innermost folder counts: the submissions may be in a folder inside the data.
    if parents and max(parents, key=lambda folder: len(folder.parts)) != folders[0]:
        raise CsvNameError(
            path,
            f"{path} is in a folder of data or runs. Choose a file elsewhere, such as in "
            f"{project.submissions}.",
        )


def origin_of(runs: "Sequence[Run]", views: str, weights: Sequence[float] | None) -> dict[str, Any]:
    """Return what a record needs besides the runs' names to make the same CSV again."""
    return {
        "weights_sha256": [run.weights_sha256() for run in runs],
        "ensemble_weights": list(weights or [1 / len(runs)] * len(runs)),
        "views": views,
        "version": __version__,
    }


def write_submission(
    path: Path,
    ids: "np.ndarray",
    class_indices: "np.ndarray",
    runs: Sequence[str],
    **origin: Any,
) -> None:
    """Write `id,label` rows in ascending order of the ids, atomically, and a record of them.

    `ids` is int64 (n,), `class_indices` an integer (n,) array of 0 to 9, `runs` the names of the
    runs that predicted them; `origin` is what `origin_of` returns. A CSV that has this content
    already is not written again.

    Raises
    ------
    SubmittedCsvError
        If another content of `path` was submitted.
    OtherRunsError
        If `path` holds the predictions of other runs.
    ForeignPathError
        If `path` is a file that this program did not write, or that was changed since.
    DuplicatePredictionError
        If an id is there twice.
    UserError
        If the arrays differ in length, a class index is out of range, or another process writes
        the CSV.
    """
    require_csv_path(path)
    content = csv_text(path, ids, class_indices).encode()
    digest = hashlib.sha256(content).hexdigest()
    made = {"runs": list(runs), **origin, "sha256": digest}
    require_replaceable(path, digest, runs)  # before a lock file is made, which would stay there
    with files.lock_file(path, "prediction"):
        if require_replaceable(path, digest, runs) == digest:
            record_existing(path, made)
            say(f"{path} exists already, with the same {counted(len(ids), 'row')}.")
            return
        write_csv(path, content, made)
    say(f"{path}: {counted(len(ids), 'row')}, predicted by {' + '.join(runs)}.")


def require_replaceable(path: Path, digest: str, runs: Sequence[str]) -> str | None:
    """Return the digest of the CSV at `path`, if there is one.

    Raises
    ------
    SubmittedCsvError, ForeignPathError, OtherRunsError
        If it has another digest than `digest` and must stay: it was submitted, it is not this
        program's, or other runs than `runs` predicted it.
    """
    found = digest_of(path) if path.exists() else None
    if found == digest:
        return found
    record = read_record(path)
    if state_of(record) in MAYBE_SENT - {State.ERROR}:
        raise SubmittedCsvError(path, record.get("ref"))
    own = (record.get("sha256"), record.get("replaces")) if record.get("runs") else ()
    if found is not None and found not in own:
        raise ForeignPathError(
            path,
            f"{path} was not written by this program, or was changed since, so it is not replaced. "
            "Move it away, or choose another file with --output.",
        )
    require_same_runs(path, runs)
    return found


def record_existing(path: Path, made: dict[str, Any]) -> None:
    """Record how a CSV that exists already was made, unless its record says that."""
    record = read_record(path)
    if record.get("sha256") != made["sha256"]:
        write_record(path, {**made, **sent_entries(record)})
    elif not record.get("runs"):
        update_record(path, **made)


def write_csv(path: Path, content: bytes, made: dict[str, Any]) -> None:
    """Write a CSV and its record.

    The record is written first. If the process dies before it writes the CSV, `replaces` shows
    that the older content is this program's own as well.
    """
    replaces = {"replaces": digest_of(path)} if path.exists() else {}
    write_record(path, {**made, **replaces, **sent_entries(read_record(path))})
    files.write_bytes(path, content)


def csv_text(path: Path, ids: "np.ndarray", class_indices: "np.ndarray") -> str:
    """Return the text of the CSV; `path` is for error messages."""
    import numpy as np

    names = competition.CLASS_NAMES
    if ids.shape != class_indices.shape:
        raise UserError(
            f"{path}: expected one class for each of {ids.shape} ids, got {class_indices.shape}."
        )
    if class_indices.size and not 0 <= class_indices.min() <= class_indices.max() < len(names):
        raise UserError(f"{path}: the class indices must be 0 to {len(names) - 1}.")
    order = np.argsort(ids, kind="stable")
    ids, class_indices = ids[order], class_indices[order]
    duplicates = ids[1:][ids[1:] == ids[:-1]]
    if duplicates.size:
        raise DuplicatePredictionError(path, int(duplicates[0]), duplicates.size)
    rows = zip(ids.tolist(), class_indices.tolist(), strict=True)
    return f"{labels.HEADER}\n" + "".join(f"{i},{names[c]}\n" for i, c in rows)
