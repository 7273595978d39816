import codecs
import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from kaggle_cifar.data import labels
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission import validate
from kaggle_cifar.submission.validate import NotACsvError
from tests.helpers.small_data import IDS, ROWS, text_of


def faults_of(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return validate.check(path, IDS).faults


def quoted(text: str) -> str:
    """Return the text with every cell in quotes, as R's write.csv writes it."""
    lines = [line.replace(",", '","') for line in text.splitlines()]
    return "".join(f'"{line}"\n' for line in lines)


@pytest.mark.parametrize(
    "content",
    [
        text_of(ROWS),
        text_of(ROWS).replace("\n", "\r\n"),
        text_of(ROWS).removesuffix("\n"),
        text_of(ROWS[::-1]),
        text_of(ROWS) + "\n\n",
        text_of(ROWS) + "\r\n \n",
        quoted(text_of(ROWS)),
        quoted(text_of(ROWS)).replace("\n", "\r\n"),
        text_of(ROWS).replace("label", '"label"').replace("cat", '"cat"'),
    ],
)
def test_a_csv_that_kaggle_takes_has_no_finding(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.csv"
    assert faults_of(path, content) == []
    assert validate.check(path, IDS) == validate.CheckResult(rows=40)


def changed(number: int, row: str) -> list[str]:
    """Return the rows with the one on this line of the file replaced."""
    return [*ROWS[: number - 2], row, *ROWS[number - 1 :]]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", ["the file is empty", "missing ids: 40 (1, 2", "0 rows below"]),
        ("\n\n", ["the file is empty", "missing ids: 40 (1, 2", "0 rows below"]),
        (text_of(ROWS, "id,class"), ["the header is 'id,class'"]),
        ("\n".join(ROWS), ["the header is missing"]),
        (text_of(ROWS[:-2]), ["missing ids: 2 (39, 40)", "38 rows below"]),
        (text_of([*ROWS, ROWS[4]]), ["duplicate ids: 1 (line 42: 5)", "41 rows below"]),
        (text_of(changed(9, "900,cat")), ["missing ids: 1 (8)", "unknown ids: 1 (line 9: 900)"]),
        (text_of(changed(9, "8,Ship")), ["not in lower case: 1 (line 9: 'Ship')"]),
        (text_of(changed(9, "8,car")), ["unknown or empty labels: 1 (line 9: 'car')"]),
        (text_of(changed(9, "8,")), ["unknown or empty labels: 1 (line 9: '')"]),
        (text_of(changed(9, "8,'ship'")), ["unknown or empty labels: 1 (line 9: \"'ship'\")"]),
        (
            text_of(changed(9, "8.0,ship")),
            ["integers: 1 (line 9: '8.0')", "missing ids: 1 (8)"],
        ),
        (
            text_of(changed(9, "08,ship")),
            ["integers: 1 (line 9: '08')", "missing ids: 1 (8)"],
        ),
        (
            text_of(changed(9, "-8,ship")),
            ["integers: 1 (line 9: '-8')", "missing ids: 1 (8)"],
        ),
        (text_of(changed(9, "8;ship")), ["without an id and a label: 1 (l", "missing ids: 1 (8)"]),
        (
            text_of(changed(9, "8,été")).encode("latin-1"),
            ["unknown or empty labels: 1 (line 9: 'été')"],
        ),
        (
            text_of([*ROWS[:39], '"40,' + "x" * 140_000]),
            ["not CSV", "missing ids: 1", "39 rows"],
        ),
    ],
)
def test_each_fault_is_named_with_its_first_lines(
    tmp_path: Path, content: str | bytes, faults: list[str]
) -> None:
    found = faults_of(tmp_path / "s.csv", content)
    assert len(found) == len(faults), found
    for fault, words in zip(found, faults, strict=True):
        assert words in fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (text_of(ROWS, "Id,Label"), "the header is 'Id,Label'"),
        (text_of([*ROWS[:7], "", *ROWS[7:]]), "blank lines: 1 (line 9)"),
        ("\n" + text_of(ROWS), "blank lines: 1 (line 1)"),
        (text_of(changed(9, "8, ship")), "spaces around a cell: 1 (line 9"),
        (text_of(changed(9, "8,ship,0.9")), "do not have 2 cells: 1 (line 9"),
        (
            text_of([f"{n},{row}" for n, row in enumerate(ROWS)], ",id,label"),
            "the header is ',id,label'",
        ),
        (text_of([f"{row},0.9" for row in ROWS], "id,label,confidence"), "'id,label,confidence'"),
        (
            text_of([",".join(row.split(",")[::-1]) for row in ROWS], "label,id"),
            "the header is 'label,id'",
        ),
        (text_of(ROWS).replace("\n", "\r"), "lines end with CR alone"),
        (codecs.BOM_UTF8 + text_of(ROWS).encode(), "a byte order mark"),
        (text_of(ROWS).encode("utf-16"), "is in UTF-16"),
        (text_of(ROWS).encode("utf-16-le"), "is in UTF-16"),
    ],
)
def test_a_doubtful_csv_gets_a_warning(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert faults_of(tmp_path / "s.csv", content) == []
    [warning] = validate.check(tmp_path / "s.csv", IDS).warnings
    assert warning.startswith("Kaggle may refuse this: ")
    assert words in warning


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"id,label", mtime=0), "a gzip file"),
        (b"PK\x03\x04\x14\x00\x1b[31m", "a zip archive or an Excel workbook"),
        (b"\x89PNG\r\n\x1a\n", "binary data"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (bytes(5_000), "binary data"),
        (b"\x1b[31m", "binary data"),
    ],
)
def test_a_file_that_is_not_text_is_named_by_its_kind(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(NotACsvError) as caught:
        validate.check(tmp_path / "s.csv", IDS)
    assert (caught.value.path, caught.value.kind) == (tmp_path / "s.csv", kind)
    assert str(caught.value).isprintable()


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "s.csv").open("wb") as file:
        file.truncate(labels.LARGEST + 1)
    with pytest.raises(UserError, match="too large"):
        validate.check(tmp_path / "s.csv", IDS)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_device_is_not_read() -> None:
    with pytest.raises(ForeignPathError):
        validate.check(Path("/dev/zero"), IDS)


def test_an_id_of_thousands_of_digits_is_a_fault(tmp_path: Path) -> None:
    rows = ["9" * 5000 + ",cat", *ROWS[1:]]
    assert any("line 2" in fault for fault in faults_of(tmp_path / "s.csv", text_of(rows)))


def test_many_faults_are_found_at_once(tmp_path: Path) -> None:
    rows = ["1,Cat", '"2",dog', "", "4,lion", "4,cat", "x,cat", *ROWS[6:]]
    found = faults_of(tmp_path / "s.csv", text_of(rows))
    kinds = ("lower case", "unknown or empty", "duplicate", "integers", "missing")
    assert [kind for kind in kinds if not any(kind in fault for fault in found)] == []


def test_one_class_over_half_gets_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text_of([f"{i},cat" for i in IDS]))
    result = validate.check(path, IDS)
    assert result.faults == []
    assert "40 of 40 rows are 'cat'" in result.warnings[0]


def test_a_missing_csv_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv is missing"):
        validate.check(tmp_path / "none.csv", IDS)


def test_check_imports_nothing_heavy() -> None:
    code = (
        "import sys, kaggle_cifar.submission.validate, kaggle_cifar.data.labels\n"
        "print([m for m in ('numpy', 'pandas', 'tensorflow', 'kaggle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
