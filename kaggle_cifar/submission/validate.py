"""The submission CSV: written, checked, scored against a solution."""

import codecs
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import __version__, competition, files
from kaggle_cifar.console import say
from kaggle_cifar.data import labels
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission.record import (
    HOW_TO_GET_ONE,
    MAYBE_SENT,
    State,
    digest_of,
    kept_entries,
    read_record,
    require_csv_path,
    require_output,
    state_of,
    update_record,
    write_record,
)

if TYPE_CHECKING:
    import numpy as np

    from kaggle_cifar.training.run import Run

HEADER = labels.HEADER
HOW_TO_GET_A_SOLUTION = "A solution is a CSV with the header id,label,Usage."
SHOWN = 5  # examples of each fault
LONGEST_ID = 18  # digits, which fit into int64
LONGEST_STEM = 100  # characters of a file name that lists its runs

LABELS = frozenset(competition.CLASS_NAMES)

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 text"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 text"),
)

# How files begin that are taken for a CSV by mistake.
OTHER_KINDS = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "a PDF document"),
)


# -- writing


class SubmittedCsvError(UserError):
    """A CSV that was submitted would be replaced; `path` says which, `ref` is Kaggle's."""

    def __init__(self, path: Path, ref: int | None) -> None:
        super().__init__(
            f"{path} was submitted (reference {ref or 'unknown'}) and would be replaced by other "
            "predictions, so it is kept. Choose another file with --output."
        )
        self.path, self.ref = path, ref


def choose_output(
    project: ProjectPaths, runs: Sequence[str], views: str, weighted: bool, output: Path | None
) -> Path:
    """Return the CSV to write the predictions of `runs` to, before any work is done.

    Raises
    ------
    UserError
        When a submission cannot be written there.
    """
    stem = "+".join(runs)
    if len(stem) > LONGEST_STEM:
        stem = f"{len(runs)}-runs-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
    suffix = ("" if views == "plain" else f"-{views}") + ("-weighted" if weighted else "")
    path = output or project.submissions / f"{stem}{suffix}.csv"
    require_output(project, path)
    return path


def origin_of(runs: "Sequence[Run]", views: str, weights: Sequence[float] | None) -> dict[str, Any]:
    """Return what a record says besides the runs' names, to make the same CSV again."""
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
    already is left as it is.

    Raises
    ------
    SubmittedCsvError
        When another content of `path` was submitted.
    ForeignPathError
        When `path` is a file that this program did not write, or that was changed since.
    UserError
        When an id is there twice, the two differ in length, a class index is none, or another
        process writes the CSV.
    """
    require_csv_path(path)
    content = submission_text(path, ids, class_indices).encode()
    digest = hashlib.sha256(content).hexdigest()
    made = {"runs": list(runs), **origin, "sha256": digest}
    with files.lock_file(path, "writing of this CSV"):
        record = read_record(path)
        found = digest_of(path) if path.exists() else None
        if found == digest:
            say(f"{path} is there already, with the same {len(ids):,} rows.")
            if record.get("sha256") != digest:
                write_record(path, {**made, **kept_entries(record)})
            elif not record.get("runs"):
                update_record(path, **made)
            return
        require_replaceable(path, record, found)
        # The record is written first. If the process dies before it writes the CSV, `replaces`
        # tells that the older content is this program's own, too.
        replaces = {"replaces": found} if found else {}
        write_record(path, {**made, **replaces, **kept_entries(record)})
        files.write_bytes(path, content)
    say(f"{path}: {len(ids):,} rows, predicted by {' + '.join(runs)}.")


def require_replaceable(path: Path, record: dict[str, Any], found: str | None) -> None:
    """Raise a UserError unless the CSV, whose content has the digest `found`, may be replaced."""
    if state_of(record) in MAYBE_SENT - {State.ERROR}:
        raise SubmittedCsvError(path, record.get("ref"))
    own = (record.get("sha256"), record.get("replaces")) if record.get("runs") else ()
    if found is not None and found not in own:
        raise ForeignPathError(
            path,
            f"{path} was not written by this program, or was changed since, so it is kept. "
            "Move it away, or choose another file with --output.",
        )


def submission_text(path: Path, ids: "np.ndarray", class_indices: "np.ndarray") -> str:
    """Return the text of the CSV; `path` is for the words of errors."""
    import numpy as np

    if ids.shape != class_indices.shape:
        raise UserError(f"{path}: {ids.shape} ids were given with {class_indices.shape} classes.")
    if class_indices.size and not 0 <= class_indices.min() <= class_indices.max() < len(LABELS):
        raise UserError(f"{path}: the class indices must be 0 to {len(LABELS) - 1}.")
    order = np.argsort(ids, kind="stable")
    ids, class_indices = ids[order], class_indices[order]
    doubled = ids[1:][ids[1:] == ids[:-1]]
    if doubled.size:
        raise UserError(
            f"{path}: the id {doubled[0]} is predicted more than once "
            f"({doubled.size} rows too many); every id must be there once."
        )
    names = competition.CLASS_NAMES
    rows = zip(ids.tolist(), class_indices.tolist(), strict=True)
    return f"{HEADER}\n" + "".join(f"{i},{names[c]}\n" for i, c in rows)


# -- checking


class NotACsvError(UserError):
    """A file is something else than text; `path` says which, `kind` what."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(f"{path} is {kind}, not a CSV. Give the text file with id,label rows.")
        self.path, self.kind = path, kind


@dataclass
class CheckResult:
    """What `check` found: faults that Kaggle refuses, what it may refuse, the number of rows."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: int = 0


class Notes:
    """Collects findings by kind, with the lines they are on."""

    def __init__(self) -> None:
        self.examples: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, example: str = "") -> None:
        """Note one finding of a kind."""
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < SHOWN:
            examples.append(example)

    def sentences(self) -> list[str]:
        """Return one sentence for each kind."""
        return [self.sentence(kind) for kind in self.examples]

    def sentence(self, kind: str) -> str:
        """Return the kind, how often it occurs, and its first examples."""
        count, examples = self.counts[kind], [text for text in self.examples[kind] if text]
        if not examples:
            return f"{kind}."
        more = ", …" if count > len(examples) else ""
        return f"{kind}: {count:,} ({', '.join(examples)}{more})."


@dataclass(frozen=True)
class Columns:
    """Which cells of a row are the id and the label, and how many cells a row has."""

    id_at: int = 0
    label_at: int = 1
    count: int = 2

    @property
    def usual(self) -> bool:
        """Whether a row is an id and a label and nothing else."""
        return (self.id_at, self.label_at, self.count) == (0, 1, 2)


class Reading:
    """The rows of a CSV, read as leniently as Kaggle reads them, and what is wrong with them.

    `labels` and `lines` map an id to its label and to its line. A fault is what Kaggle is known
    to refuse, a doubt what it may refuse. Not even a doubt are quotes, CR LF, the order of the
    rows, and empty lines at the end.
    """

    def __init__(self, path: Path) -> None:
        self.faults, self.doubts = Notes(), Notes()
        self.labels: dict[int, str] = {}
        self.lines: dict[int, int] = {}
        self.rows = 0
        text = decode(path, labels.read_bytes(path, HOW_TO_GET_ONE), self.doubts)
        if text.count("\r") != text.count("\r\n"):
            self.doubts.add("lines end with CR alone (the old Mac's)")
        rows = self.parse(text)
        columns = self.read_header(*next(rows, (0, [])))
        self.take_rows(rows, columns)

    def parse(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that has content, with the number of its last line."""
        reader = csv.reader(io.StringIO(text, newline=""))
        blank: list[int] = []
        try:
            for row in reader:
                if len(row) < 2 and not "".join(row).strip():
                    blank.append(reader.line_num)
                    continue
                if blank:  # those at the end of the file are in order
                    for number in blank:
                        self.doubts.add("blank lines", f"line {number}")
                    blank.clear()
                yield reader.line_num, row
        except csv.Error as error:
            self.faults.add(f"line {reader.line_num} is not CSV ({error})")

    def read_header(self, number: int, header: list[str]) -> Columns:
        """Return which columns there are, noting a wrong or missing header."""
        shown = repr(",".join(header)[:60])
        names = [cell.strip().strip("'").lower() for cell in header]
        if not header:
            self.faults.add("the file is empty")
        elif "id" in names and "label" in names:
            if header != HEADER.split(","):
                self.doubts.add(f"the header is {shown}, not '{HEADER}'")
            return Columns(names.index("id"), names.index("label"), len(names))
        elif LABELS & set(names):
            self.faults.add(f"the header is missing; the first line must be '{HEADER}'")
            self.take_rows(iter([(number, header)]), Columns())
        else:
            self.faults.add(f"the header is {shown}; it must be '{HEADER}'")
        return Columns()

    def take_rows(self, rows: Iterator[tuple[int, list[str]]], columns: Columns) -> None:
        """Take each row's id and label, noting what is wrong with it."""
        labels, lines, usual = self.labels, self.lines, columns.usual
        for number, row in rows:
            self.rows += 1
            if usual and len(row) == 2 and row[1] in LABELS and is_plain(row[0]):
                id_text, label = row
            else:
                id_text, label = self.examine_row(number, row, columns)
                if not is_plain(id_text):
                    continue
            image_id = int(id_text)
            if lines.setdefault(image_id, number) != number:
                self.faults.add("ids doubled", f"line {number}: {image_id}")
            else:
                labels[image_id] = label

    def examine_row(self, number: int, row: list[str], columns: Columns) -> tuple[str, str]:
        """Note all that is wrong with a row; return its id and label as far as it has them."""
        shown = f"line {number}: {','.join(row)[:40]!r}"
        if len(row) <= max(columns.id_at, columns.label_at):
            self.faults.add("rows without an id and a label", shown)
            return "", ""
        if len(row) != columns.count:
            self.doubts.add(f"rows that do not have {columns.count} cells", shown)
        if any(cell != cell.strip() for cell in row):
            self.doubts.add("rows with spaces around a cell", shown)
        id_text, label = row[columns.id_at].strip(), row[columns.label_at].strip()
        if not is_plain(id_text):
            self.faults.add("ids that are no plain integers", f"line {number}: {id_text[:40]!r}")
        if label not in LABELS:
            known = label.lower() in LABELS
            kind = "labels not in lower case" if known else "unknown or empty labels"
            self.faults.add(kind, f"line {number}: {label[:40]!r}")
        return id_text, label


def check(path: Path, expected_ids: Collection[int]) -> CheckResult:
    """Find all for which Kaggle refuses the submission at `path`, and all for which it may.

    Neither numpy nor pandas is imported.

    Raises
    ------
    NotACsvError
        When the file is not text.
    UserError
        When the file cannot be read.
    """
    found = Reading(path)
    compare_ids(found.lines, expected_ids, found.faults)
    compare_count(found.rows, len(expected_ids), found.faults)
    doubts = [f"Kaggle may refuse this: {doubt}" for doubt in found.doubts.sentences()]
    warnings = [*doubts, *absurdities(Counter(found.labels.values()))]
    return CheckResult(found.faults.sentences(), warnings, found.rows)


def is_plain(id_text: str) -> bool:
    """Whether an id is written as Kaggle writes it: ASCII digits without zeros before them."""
    return (
        len(id_text) <= LONGEST_ID
        and id_text.isascii()
        and id_text.isdigit()
        and (id_text[0] != "0" or id_text == "0")
    )


def decode(path: Path, content: bytes, doubts: Notes) -> str:
    """Return the text of a file, noting what is not plain UTF-8.

    Raises
    ------
    NotACsvError
        When it is not text.
    """
    for start, kind in OTHER_KINDS:
        if content.startswith(start):
            raise NotACsvError(path, kind)
    for mark, encoding, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            doubts.add(f"the file is or begins with {name}; save it as UTF-8 without one")
            return content.decode(encoding, errors="replace")
    start = content[:1000]
    if len(start) / 3 < start.count(b"\0") < len(start) * 2 / 3:
        doubts.add("the file is UTF-16 text; save it as UTF-8")
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    if any(byte < 32 and byte not in b"\t\n\r" for byte in start):
        raise NotACsvError(path, "binary data")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        doubts.add(f"the file is not UTF-8 (first on line {line}); save it as UTF-8")
        return content.decode("latin-1")


def compare_ids(lines: dict[int, int], expected_ids: Collection[int], faults: Notes) -> None:
    """Note the ids that are missing and those that nobody asked for."""
    if lines.keys() == (expected := set(expected_ids)):
        return
    for image_id in sorted(expected - lines.keys()):
        faults.add("ids missing", str(image_id))
    for image_id, number in lines.items():
        if image_id not in expected:
            faults.add("ids unknown", f"line {number}: {image_id}")


def compare_count(found: int, expected: int, faults: Notes) -> None:
    """Note a wrong number of rows."""
    if found != expected:
        faults.add(f"there are {found:,} rows below the header; there must be {expected:,}")


def absurdities(labels: Counter[str]) -> list[str]:
    """Return a warning when one class has over half of the rows."""
    rows = sum(labels.values())
    return [
        f"{count:,} of {rows:,} rows are '{label}': does the model tell anything apart?"
        for label, count in labels.most_common(1)
        if label in LABELS and count > rows / 2 and rows > 1
    ]


# -- scoring


@dataclass(frozen=True)
class Accuracy:
    """How many of a number of scored rows are right."""

    right: int = 0
    count: int = 0

    @property
    def value(self) -> float:
        """The share of right rows; 0 where none is scored."""
        return self.right / self.count if self.count else 0.0

    def __str__(self) -> str:
        return f"{self.value:.5f}"


@dataclass(frozen=True)
class Accuracies:
    """The accuracy over all scored rows and over each part of the leaderboard."""

    overall: Accuracy
    public: Accuracy
    private: Accuracy


def accuracy(path: Path, solution_path: Path) -> Accuracies:
    """Return the accuracy of a submission by a solution with the columns `id,label[,Usage]`.

    `Usage` is Public, Private or Ignored, in any case; without the column every row is Public.

    Raises
    ------
    UserError
        When a file cannot be read, or the submission lacks an id that is scored.
    """
    labels = Reading(path).labels
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for image_id, label, usage in read_solution(solution_path):
        if usage == "ignored":
            continue
        if image_id not in labels:
            raise UserError(
                f"{path} has no row for the id {image_id}, which {solution_path} scores. "
                f"See `kaggle-cifar check {path}`."
            )
        count[usage] += 1
        right[usage] += labels[image_id] == label
    public = Accuracy(right["public"], count["public"])
    private = Accuracy(right["private"], count["private"])
    overall = Accuracy(public.right + private.right, public.count + private.count)
    return Accuracies(overall, public, private)


def read_solution(path: Path) -> list[tuple[int, str, str]]:
    """Return id, label and usage ("public", "private", "ignored") of each row of a solution."""
    header, *lines = labels.read_table(path, HOW_TO_GET_A_SOLUTION).removesuffix("\n").split("\n")
    names = header.lower().split(",")
    if names not in (["id", "label"], ["id", "label", "usage"]):
        raise UserError(
            f"{path} must begin with 'id,label,Usage', but begins with {header[:60]!r}."
        )
    rows = []
    for number, line in enumerate(lines, start=2):
        image_id, label, usage, *_ = (*line.split(","), "public", "public", "public")
        usage = usage.lower()
        if (
            line.count(",") != len(names) - 1
            or not is_plain(image_id)
            or usage not in ("public", "private", "ignored")
            or (usage != "ignored" and label not in LABELS)
        ):
            raise UserError(
                f"{path}, line {number}: expected {header}, found {line[:60]!r}; the label is a "
                "class's name, Usage is Public, Private or Ignored."
            )
        rows.append((int(image_id), label, usage))
    labels.check_duplicate_ids(path, [image_id for image_id, _, _ in rows])
    return rows
