"""The check of a submission CSV: what Kaggle refuses, and what it may refuse."""

import codecs
import csv
import io
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kaggle_cifar import competition
from kaggle_cifar.console import counted, say
from kaggle_cifar.data import labels
from kaggle_cifar.errors import DataMissingError, UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.submission.record import CHECK_PATH

HEADER = labels.HEADER
LABELS = frozenset(competition.CLASS_NAMES)
SHOWN = 5  # examples of each finding
LONGEST_ID = 18  # digits, which fit into int64

UTF_16 = "is in UTF-16; save it as UTF-8"
BYTE_ORDER_MARKS = (  # the first bytes, the encoding, and what to do
    (codecs.BOM_UTF8, "utf-8-sig", "begins with a byte order mark; save it without one"),
    (codecs.BOM_UTF16_LE, "utf-16", UTF_16),
    (codecs.BOM_UTF16_BE, "utf-16", UTF_16),
)

# The first bytes of files that are easily taken for a CSV; other files are "binary data".
OTHER_KINDS = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x93NUMPY", "a NumPy array"),
)


class NotACsvError(UserError):
    """A file is not text; `path` is the file, `kind` what it is."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(f"{path} is {kind}, not a CSV. Expected a text file with id,label rows.")
        self.path, self.kind = path, kind


class FaultyCsvError(UserError):
    """A CSV has faults for which Kaggle refuses it; `faults` holds a sentence for each.

    `expected` is the sentence on what the CSV was compared with.
    """

    def __init__(self, path: Path, faults: list[str], expected: str) -> None:
        listed = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"Kaggle would reject {path}:\n{listed}\n{expected}")
        self.path, self.faults = path, faults


@dataclass
class CheckResult:
    """What `check` found: faults that Kaggle refuses, what it may refuse, the number of rows."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: int = 0


def require_valid(path: Path, project: ProjectPaths) -> CheckResult:
    """Check a CSV, print its warnings and return the result.

    Raises
    ------
    DataMissingError
        If there is no such file.
    FaultyCsvError
        If Kaggle is known to refuse it.
    UserError
        As `check`.
    """
    if not os.path.lexists(path):
        command = project.command("predict")
        raise DataMissingError(path, f"{path} is missing. Run `{command}` to write a CSV.")
    result = check(path, labels.expected_ids(project))
    for warning in result.warnings:
        say(f"Warning: {warning}")
    if result.faults:
        raise FaultyCsvError(path, result.faults, labels.describe_expected_ids(project))
    return result


def check(path: Path, expected_ids: Collection[int]) -> CheckResult:
    """Find all for which Kaggle refuses the submission at `path`, and all for which it may.

    Neither numpy nor pandas is imported.

    Raises
    ------
    NotACsvError
        If the file is not text.
    UserError
        If the file cannot be read.
    """
    found = SubmissionReader(path)
    compare_ids(found.lines, expected_ids, found.faults)
    if found.rows != len(expected_ids):
        found.faults.add(
            f"{counted(found.rows, 'row')} below the header, expected {len(expected_ids):,}"
        )
    doubts = [f"Kaggle may refuse this: {doubt}" for doubt in found.doubts.sentences()]
    warnings = [*doubts, *dominant_class(Counter(found.labels.values()))]
    return CheckResult(found.faults.sentences(), warnings, found.rows)


class Findings:
    """Counts findings by kind, with the lines of the first few."""

    def __init__(self) -> None:
        self.examples: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, example: str = "") -> None:
        """Note one finding of a kind."""
        self.counts[kind] += 1
        examples = self.examples.setdefault(kind, [])
        if example and len(examples) < SHOWN:
            examples.append(example)

    def sentences(self) -> list[str]:
        """Return one sentence for each kind: how often it occurs, and its first examples."""
        return [
            f"{kind}: {self.counts[kind]:,} ({', '.join(examples)}"
            f"{', …' if self.counts[kind] > len(examples) else ''})."
            if examples
            else f"{kind}."
            for kind, examples in self.examples.items()
        ]


@dataclass(frozen=True)
class Columns:
    """Which cells of a row are the id and the label, and how many cells a row has."""

    id_at: int = 0
    label_at: int = 1
    count: int = 2


class SubmissionReader:
    """Reads the rows of a CSV as leniently as Kaggle does, and collects what is wrong with them.

    `labels` and `lines` map an id to its label and to its line. A fault is what Kaggle is known
    to refuse, a doubt what it may refuse. Quotes, CR LF, the order of the rows and empty lines at
    the end are neither.
    """

    def __init__(self, path: Path) -> None:
        self.faults, self.doubts = Findings(), Findings()
        self.labels: dict[int, str] = {}
        self.lines: dict[int, int] = {}
        self.rows = 0
        text = decode(path, labels.read_bytes(path, CHECK_PATH), self.doubts)
        if text.count("\r") != text.count("\r\n"):
            self.doubts.add("lines end with CR alone")
        rows = self.parse(text)
        columns = self.read_header(*next(rows, (0, [])))
        self.read_rows(rows, columns)

    def parse(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that has content, with the number of its last line."""
        reader = csv.reader(io.StringIO(text, newline=""))
        blank: list[int] = []
        try:
            for row in reader:
                if len(row) < 2 and not "".join(row).strip():
                    blank.append(reader.line_num)
                    continue
                for number in blank:  # blank lines at the end of the file are never noted
                    self.doubts.add("blank lines", f"line {number}")
                blank.clear()
                yield reader.line_num, row
        except csv.Error as error:
            self.faults.add(f"line {reader.line_num} is not CSV ({error})")

    def read_header(self, number: int, header: list[str]) -> Columns:
        """Return which columns there are; note a wrong or missing header."""
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
            self.read_rows(iter([(number, header)]), Columns())
        else:
            self.faults.add(f"the header is {shown}; it must be '{HEADER}'")
        return Columns()

    def read_rows(self, rows: Iterator[tuple[int, list[str]]], columns: Columns) -> None:
        """Store the id and label of each row; note what is wrong with it."""
        labels, lines, has_usual_columns = self.labels, self.lines, columns == Columns()
        for number, row in rows:
            self.rows += 1
            if has_usual_columns and len(row) == 2 and row[1] in LABELS and is_plain(row[0]):
                id_text, label = row
            else:
                id_text, label = self.examine_row(number, row, columns)
                if not is_plain(id_text):
                    continue
            image_id = int(id_text)
            if lines.setdefault(image_id, number) != number:
                self.faults.add("duplicate ids", f"line {number}: {image_id}")
            else:
                labels[image_id] = label

    def examine_row(self, number: int, row: list[str], columns: Columns) -> tuple[str, str]:
        """Note all that is wrong with a row; return its id and label, or empty strings."""
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
            self.faults.add("ids that are not plain integers", f"line {number}: {id_text[:40]!r}")
        if label not in LABELS:
            known = label.lower() in LABELS
            kind = "labels not in lower case" if known else "unknown or empty labels"
            self.faults.add(kind, f"line {number}: {label[:40]!r}")
        return id_text, label


def is_plain(id_text: str) -> bool:
    """Return whether an id is written as Kaggle writes it: ASCII digits without leading zeros."""
    return (
        len(id_text) <= LONGEST_ID
        and id_text.isascii()
        and id_text.isdigit()
        and (id_text[0] != "0" or id_text == "0")
    )


def decode(path: Path, content: bytes, doubts: Findings) -> str:
    """Return the text of a file; note what is not plain UTF-8.

    Raises
    ------
    NotACsvError
        If it is not text.
    """
    for start, kind in OTHER_KINDS:
        if content.startswith(start):
            raise NotACsvError(path, kind)
    for mark, encoding, doubt in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            doubts.add(f"the file {doubt}")
            return content.decode(encoding, errors="replace")
    start = content[:1000]
    if len(start) / 3 < start.count(b"\0") < len(start) * 2 / 3:
        doubts.add(f"the file {UTF_16}")
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    if any(byte < 32 and byte not in b"\t\n\r" for byte in start):
        raise NotACsvError(path, "binary data")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        doubts.add(f"the file is not UTF-8 (first on line {line}); save it as UTF-8")
        return content.decode("latin-1")


def compare_ids(lines: dict[int, int], expected_ids: Collection[int], faults: Findings) -> None:
    """Note the missing and the unknown ids."""
    if lines.keys() == (expected := set(expected_ids)):
        return
    for image_id in sorted(expected - lines.keys()):
        faults.add("missing ids", str(image_id))
    for image_id, number in lines.items():
        if image_id not in expected:
            faults.add("unknown ids", f"line {number}: {image_id}")


def dominant_class(labels: Counter[str]) -> list[str]:
    """Return a warning if one class has over half of the rows."""
    rows = sum(labels.values())
    return [
        f"{count:,} of {rows:,} rows are '{label}'. Check the model that predicted them."
        for label, count in labels.most_common(1)
        if label in LABELS and count > rows / 2 and rows > 1
    ]
