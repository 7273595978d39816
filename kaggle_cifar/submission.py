"""The submission CSV: written, recorded, checked, scored against a solution."""

import codecs
import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaggle_cifar import competition, storage, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import say

if TYPE_CHECKING:
    import numpy as np

HEADER = tables.HEADER
SHOWN = 5  # examples of each fault
LONGEST_ID = 18  # digits, which fit into int64

LABELS = frozenset(competition.CLASS_NAMES)

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 text"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 text"),
)


# -- writing


def write_submission(
    path: Path, ids: "np.ndarray", class_indices: "np.ndarray", runs: Sequence[str]
) -> None:
    """Write `id,label` rows in ascending order of the ids, atomically, and a record beside them.

    `ids` is int64 (n,), `class_indices` an integer (n,) array of 0 to 9, `runs` the names of the
    runs that predicted them.

    Raises
    ------
    UserError
        When an id is doubled, the two differ in length, a class index is none, another content
        of `path` was submitted, or another process writes it.
    """
    content = submission_text(path, ids, class_indices).encode()
    digest = hashlib.sha256(content).hexdigest()
    refuse_to_replace_submitted(path, digest)
    with storage.lock(path.with_name(f".{path.name}.writing"), "writing of this CSV"):
        if path.exists() and digest_of(path) == digest:
            say(f"{path} is there already, with the same {len(ids):,} rows.")
            update_record(path, runs=list(runs), sha256=digest)
            return
        storage.write_bytes(path, content)
        storage.write_json(record_path(path), {"runs": list(runs), "sha256": digest})
    say(f"{path}: {len(ids):,} rows, predicted by {' + '.join(runs)}.")


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
            f"({doubled.size} rows too many); every id must stand there once."
        )
    names = competition.CLASS_NAMES
    rows = zip(ids.tolist(), class_indices.tolist(), strict=True)
    return f"{HEADER}\n" + "".join(f"{i},{names[c]}\n" for i, c in rows)


def refuse_to_replace_submitted(path: Path, digest: str) -> None:
    """Raise a UserError when another content of `path` than that of `digest` was submitted."""
    record = read_record(path)
    if record.get("submitted_at") and record.get("sha256") != digest:
        raise UserError(
            f"{path} was submitted (reference {record.get('ref')}) and would be replaced by other "
            "predictions: it is kept. Choose another file with --output."
        )


# -- checking


@dataclass
class CheckResult:
    """What `check` found: faults that Kaggle refuses, warnings, and the number of rows."""

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    rows: int = 0


class Faults:
    """Collects faults by kind, with the lines they stand on."""

    def __init__(self) -> None:
        self.examples: dict[str, list[str]] = {}
        self.counts: Counter[str] = Counter()

    def add(self, kind: str, example: str = "") -> None:
        """Note one fault of a kind."""
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


def check(path: Path, expected_ids: Collection[int]) -> CheckResult:
    """Find every fault for which Kaggle would refuse the submission at `path`.

    CR LF at the end of lines is none: Kaggle accepts it. Neither numpy nor pandas is imported.

    Raises
    ------
    UserError
        When the file cannot be read.
    """
    faults = Faults()
    lines = read_lines(path, faults)
    columns = read_header(lines, faults)
    first_lines: dict[int, int] = {}
    labels: Counter[str] = Counter()
    number_of_header = len(lines) - len(columns.rows)
    for number, line in enumerate(columns.rows, start=number_of_header + 1):
        id_text, _, label = line.partition(",")
        if not (columns.usual and label in LABELS and is_plain(id_text)):
            id_text, label = examine_row(number, line, columns, faults)
        labels[label] += 1
        if not is_plain(id_text):
            continue
        image_id = int(id_text)
        if first_lines.setdefault(image_id, number) != number:
            faults.add("ids doubled", f"line {number}: {image_id}")
    compare_ids(first_lines, expected_ids, faults)
    compare_count(len(columns.rows), len(expected_ids), faults)
    return CheckResult(faults.sentences(), absurdities(labels), len(columns.rows))


def is_plain(id_text: str) -> bool:
    """Whether an id is written as Kaggle writes it: ASCII digits without zeros before them."""
    return (
        len(id_text) <= LONGEST_ID
        and id_text.isascii()
        and id_text.isdigit()
        and (id_text[0] != "0" or id_text == "0")
    )


def read_bytes(path: Path) -> bytes:
    """Return the content of a file or raise a UserError that names it."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing. `kaggle-cifar predict` writes one.") from None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from error


def read_lines(path: Path, faults: Faults) -> list[str]:
    """Return the lines of a file, noting a wrong encoding and wrong line ends."""
    text = decode(read_bytes(path), faults).replace("\r\n", "\n")
    if "\r" in text:
        faults.add("lines that end with CR alone (the old Mac's); end them with LF")
        text = text.replace("\r", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        faults.add("the file is empty")
    return lines


def decode(content: bytes, faults: Faults) -> str:
    """Return the text of a file, noting what is not plain UTF-8."""
    for mark, encoding, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            faults.add(f"the file is or begins with {name}; save it as UTF-8 without one")
            return content.decode(encoding, errors="replace")
    zeros = content[:100].count(b"\0")
    if zeros:
        faults.add("the file is UTF-16 or binary; save it as UTF-8 text")
    if zeros > len(content[:100]) / 3:
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.add(f"the file is not UTF-8 (first on line {line}); save it as UTF-8")
        return content.decode("latin-1")


@dataclass(frozen=True)
class Columns:
    """Where the id and the label stand in a row, and the rows."""

    rows: list[str]
    id_at: int = 0
    label_at: int = 1
    count: int = 2

    @property
    def usual(self) -> bool:
        """Whether a row is an id and a label and nothing else."""
        return (self.id_at, self.label_at, self.count) == (0, 1, 2)


def read_header(lines: list[str], faults: Faults) -> Columns:
    """Return what the header tells of the columns, noting a wrong or missing one."""
    header = lines[0] if lines else ""
    if header == HEADER:
        return Columns(lines[1:])
    names = [plain_cell(cell).lower() for cell in header.split(",")]
    if "id" in names and "label" in names:
        if len(names) > 2 and names[0] in ("", "unnamed: 0", "index"):
            faults.add("there is an index column; write the CSV without it (index=False)")
        elif len(names) > 2:
            faults.add(f"there are {len(names)} columns; leave only id and label")
        faults.add(f"the header is {header[:60]!r}; it must be '{HEADER}'")
        return Columns(lines[1:], names.index("id"), names.index("label"), len(names))
    if any(plain_cell(cell).lower() in LABELS for cell in header.split(",")):
        faults.add(f"the header is missing; the first line must be '{HEADER}'")
        return Columns(lines)
    if lines:
        faults.add(f"the header is {header[:60]!r}; it must be '{HEADER}'")
    return Columns(lines[1:])


def plain_cell(cell: str) -> str:
    """Return a cell without the quotes and spaces around it."""
    return cell.strip().strip("\"'").strip()


def examine_row(number: int, line: str, columns: Columns, faults: Faults) -> tuple[str, str]:
    """Note every fault of a row; return its id and label as far as they can be told."""
    if not line.strip():
        faults.add("blank lines", f"line {number}")
        return "", ""
    shown = f"line {number}: {line[:40]!r}"
    if '"' in line or "'" in line:
        faults.add("rows with quotes", shown)
    cells = line.split(",")
    if len(cells) != columns.count:
        faults.add(f"rows that are not {columns.count} cells with commas between", shown)
    if len(cells) <= max(columns.id_at, columns.label_at):
        return "", ""
    if any(cell != cell.strip() for cell in cells):
        faults.add("rows with spaces around an id or a label", shown)
    id_text, label = plain_cell(cells[columns.id_at]), plain_cell(cells[columns.label_at])
    if not is_plain(id_text):
        faults.add("ids that are no plain integers", f"line {number}: {id_text[:40]!r}")
    if label not in LABELS:
        known = label.lower() in LABELS
        kind = "labels not in lower case" if known else "unknown or empty labels"
        faults.add(kind, f"line {number}: {label[:40]!r}")
    return id_text, label


def compare_ids(first_lines: dict[int, int], expected_ids: Collection[int], faults: Faults) -> None:
    """Note the ids that are missing and those that nobody asked for."""
    if first_lines.keys() == (expected := set(expected_ids)):
        return
    for image_id in sorted(expected - first_lines.keys()):
        faults.add("ids missing", str(image_id))
    for image_id, number in first_lines.items():
        if image_id not in expected:
            faults.add("ids unknown", f"line {number}: {image_id}")


def compare_count(found: int, expected: int, faults: Faults) -> None:
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
    labels = {int(image_id): label for image_id, label in tables.read_rows(path)}
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
    if not path.exists():
        raise UserError(f"{path} is missing: a solution is a CSV with the header id,label,Usage.")
    header, *lines = tables.read_table(path).removesuffix("\n").split("\n")
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
    tables.refuse_doubled_ids(path, [image_id for image_id, _, _ in rows])
    return rows


# -- the record beside the CSV


def record_path(csv: Path) -> Path:
    """Return the place of the JSON that tells where a CSV came from and what became of it."""
    return csv.with_suffix(".json")


def read_record(csv: Path) -> dict[str, Any]:
    """Return the record beside a CSV, empty where there is none."""
    path = record_path(csv)
    if not path.exists():
        return {}
    record = storage.read_json(path)
    if not isinstance(record, dict):
        raise UserError(f"{path} is no record of a submission. Restore it or delete it.")
    return record


def update_record(csv: Path, **changes: Any) -> dict[str, Any]:
    """Change some values of the record beside a CSV and return it."""
    record = read_record(csv) | changes
    storage.write_json(record_path(csv), record)
    return record


def digest_of(csv: Path) -> str:
    """Return the SHA-256 of a CSV in hexadecimal."""
    return hashlib.sha256(read_bytes(csv)).hexdigest()
