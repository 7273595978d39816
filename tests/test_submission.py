import codecs
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kaggle_server import KaggleSite
from small_data import IDS, ROWS, text_of

from kaggle_cifar import competition, submission, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.storage import Layout


def faults_of(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return submission.check(path, IDS).faults


# -- writing


@given(st.dictionaries(st.integers(0, 10**12), st.integers(0, 9), max_size=60))
def test_writes_every_row_once_in_ascending_order(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "s.csv"
    submission.write_submission(
        path,
        np.array(list(rows), dtype=np.int64),
        np.array(list(rows.values()), dtype=np.int32),
        ["model3"],
    )
    expected = [f"{i},{competition.CLASS_NAMES[rows[i]]}" for i in sorted(rows)]
    assert path.read_bytes().decode() == text_of(expected)
    assert submission.check(path, rows.keys()).faults == []


def test_refuses_to_write_doubled_ids(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="id 7 is predicted more than once"):
        submission.write_submission(
            tmp_path / "s.csv", np.array([7, 3, 7], dtype=np.int64), np.array([1, 2, 3]), ["model3"]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_submitted_file_is_never_replaced_by_another(tmp_path: Path) -> None:
    path, ids = tmp_path / "s.csv", np.arange(1, 4)
    submission.write_submission(path, ids, ids, ["model3"])
    submission.write_submission(path, ids, ids - 1, ["other"])  # not submitted: replaced
    assert submission.read_record(path) == {
        "runs": ["other"],
        "sha256": submission.digest_of(path),
    }
    submission.update_record(path, submitted_at="2026-11-23T09:00:00+00:00", ref=4001)
    before = (path.read_bytes(), submission.record_path(path).read_bytes())
    with pytest.raises(UserError, match=r"was submitted \(reference 4001\).*--output"):
        submission.write_submission(path, ids, ids, ["model3"])
    submission.write_submission(path, ids, ids - 1, ["other"])  # the same: left alone
    assert (path.read_bytes(), submission.record_path(path).read_bytes()) == before


# -- the tables of the competition


@given(st.dictionaries(st.integers(0, 10**18 - 1), st.integers(0, 9), min_size=1, max_size=60))
def test_reads_labels_in_order_of_ids(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("labels") / "trainLabels.csv"
    path.write_text(text_of([f"{i},{competition.CLASS_NAMES[c]}" for i, c in labels.items()]))
    ids, class_indices = tables.read_training_labels(path)
    assert (ids.dtype, class_indices.dtype) == (np.int64, np.int32)
    assert list(zip(ids.tolist(), class_indices.tolist(), strict=True)) == sorted(labels.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,cat\n", "must begin with the line 'id,label'"),
        ("", "must begin with the line"),
        ("id,label\n", "no row"),
        ("id,label\n1,cat\n2,Dog\n", "line 3: the id 2 has the unknown label 'Dog'"),
        ("id,label\n1,\n", "line 2: the id 1 has no label"),
        ("id,label\n1,cat\n2,dog\n1,cat\n", "line 4: the id 1 stands on line 2 already"),
        ("id,label\n1,cat\n\n2,dog\n", "line 3: expected an integer id"),
        ("id,label\n1.5,cat\n", "line 2: expected an integer id"),
        ("id,label\n1,cat,x\n", "line 2: expected an integer id"),
    ],
)
def test_names_what_is_wrong_with_labels(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "trainLabels.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        tables.read_training_labels(path)


def test_ids_are_those_of_the_sample_submission(csv: Path, layout: Layout) -> None:
    assert tables.submission_ids(layout).tolist() == list(IDS)
    (layout.raw / competition.SAMPLE_SUBMISSION).unlink()
    ids = tables.submission_ids(layout)
    assert (ids.dtype, ids[0], ids[-1], len(ids)) == (np.int64, 1, 300_000, 300_000)


# -- checking


@pytest.mark.parametrize(
    "content",
    [
        text_of(ROWS),
        text_of(ROWS).replace("\n", "\r\n"),
        text_of(ROWS).removesuffix("\n"),
        text_of(ROWS[::-1]),
    ],
)
def test_finds_no_fault_where_there_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.csv"
    assert faults_of(path, content) == []
    assert submission.check(path, IDS).rows == 40


def changed(number: int, row: str) -> list[str]:
    """The rows with the one on this line of the file replaced."""
    return [*ROWS[: number - 2], row, *ROWS[number - 1 :]]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", ["the file is empty", "40 (1, 2", "there are 0 rows"]),
        (text_of(ROWS, "id,class"), ["the header is 'id,class'"]),
        (text_of(ROWS, "Id,Label"), ["the header is 'Id,Label'"]),
        ("\n".join(ROWS), ["the header is missing"]),
        (text_of(ROWS[:-2]), ["ids missing: 2 (39, 40)", "there are 38 rows"]),
        (text_of([*ROWS, ROWS[4]]), ["ids doubled: 1 (line 42: 5)", "there are 41 rows"]),
        (text_of(changed(9, "900,cat")), ["ids missing: 1 (8)", "ids unknown: 1 (line 9: 900)"]),
        (text_of(changed(9, "8,Ship")), ["not in lower case: 1 (line 9: 'Ship')"]),
        (text_of(changed(9, "8,car")), ["unknown or empty labels: 1 (line 9: 'car')"]),
        (text_of(changed(9, "8,")), ["unknown or empty labels: 1 (line 9: '')"]),
        (text_of([*ROWS[:7], "", *ROWS[7:]]), ["blank lines: 1 (line 9)", "there are 41 rows"]),
        (text_of(ROWS) + "\n", ["blank lines: 1 (line 42)", "there are 41 rows"]),
        (text_of(changed(9, '"8","ship"')), ["rows with quotes: 1 (line 9"]),
        (text_of(changed(9, "8, ship")), ["spaces around an id or a label: 1 (line 9"]),
        (text_of(changed(9, "8.0,ship")), ["plain integers: 1 (line 9: '8.0')", "missing: 1 (8)"]),
        (text_of(changed(9, "08,ship")), ["plain integers: 1 (line 9: '08')", "missing: 1 (8)"]),
        (text_of(changed(9, "-8,ship")), ["plain integers: 1 (line 9: '-8')", "missing: 1 (8)"]),
        (text_of(changed(9, "8,ship,0.9")), ["not 2 cells with commas between: 1 (line 9"]),
        (text_of(changed(9, "8;ship")), ["not 2 cells with commas", "ids missing: 1 (8)"]),
        (
            text_of([f"{n},{row}" for n, row in enumerate(ROWS)], ",id,label"),
            ["there is an index column", "the header is ',id,label'"],
        ),
        (
            text_of([f"{row},0.9" for row in ROWS], "id,label,confidence"),
            ["there are 3 columns", "the header is 'id,label,confidence'"],
        ),
        (
            text_of([",".join(row.split(",")[::-1]) for row in ROWS], "label,id"),
            ["the header is 'label,id'"],
        ),
        (text_of(ROWS).replace("\n", "\r"), ["lines that end with CR alone"]),
        (codecs.BOM_UTF8 + text_of(ROWS).encode(), ["a byte order mark"]),
        (text_of(ROWS).encode("utf-16"), ["UTF-16 text"]),
        (text_of(ROWS).encode("utf-16-le"), ["the file is UTF-16 or binary"]),
        (
            text_of(changed(9, "8,été")).encode("latin-1"),
            ["not UTF-8 (first on line 9)", "unknown or empty labels: 1 (line 9: 'été')"],
        ),
    ],
)
def test_names_every_fault_and_its_first_lines(
    tmp_path: Path, content: str | bytes, faults: list[str]
) -> None:
    found = faults_of(tmp_path / "s.csv", content)
    assert len(found) == len(faults), found
    for fault, words in zip(found, faults, strict=True):
        assert words in fault


def test_names_an_id_of_thousands_of_digits(tmp_path: Path) -> None:
    rows = ["9" * 5000 + ",cat", *ROWS[1:]]
    assert any("line 2" in fault for fault in faults_of(tmp_path / "s.csv", text_of(rows)))


def test_finds_many_faults_at_once(tmp_path: Path) -> None:
    rows = ["1,Cat", '"2",dog', "", "4,lion", "4,cat", "x,cat", *ROWS[6:]]
    found = faults_of(tmp_path / "s.csv", text_of(rows))
    kinds = ("lower case", "quotes", "blank", "unknown or empty", "doubled", "integers", "missing")
    assert [kind for kind in kinds if not any(kind in fault for fault in found)] == []


def test_warns_of_one_class_over_half(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text_of([f"{i},cat" for i in IDS]))
    result = submission.check(path, IDS)
    assert result.faults == []
    assert "40 of 40 rows are 'cat'" in result.warnings[0]


def test_a_missing_csv_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.csv is missing"):
        submission.check(tmp_path / "none.csv", IDS)


def test_check_imports_nothing_heavy() -> None:
    code = (
        "import sys, kaggle_cifar.submission, kaggle_cifar.tables\n"
        "print([m for m in ('numpy', 'pandas', 'tensorflow', 'kaggle') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- scoring


def write_solution(path: Path, site: KaggleSite) -> Path:
    rows = [f"{i},{label},{usage}" for i, (label, usage) in site.solution.items()]
    path.write_text(text_of(rows, "id,label,Usage"))
    return path


def test_accuracy_by_usage(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text_of(["1,cat", "2,dog", "3,cat", "4,cat", "5,frog"]))
    solution = tmp_path / "solution.csv"
    rows = ["1,cat,Public", "2,cat,PUBLIC", "3,cat,Private", "4,dog,Ignored"]
    solution.write_text(text_of(rows, "id,label,Usage"))
    found = submission.accuracy(tmp_path / "s.csv", solution)
    assert (found.public.right, found.public.count) == (1, 2)
    assert (found.private.right, found.private.count) == (1, 1)
    assert str(found.overall) == "0.66667"
    solution.write_text(text_of(["1,cat", "2,cat"]))
    found = submission.accuracy(tmp_path / "s.csv", solution)
    assert (found.public.value, found.private.count) == (0.5, 0)


@pytest.mark.parametrize(
    ("solution", "words"),
    [
        ("id,label,Usage\n9,cat,Public\n", "has no row for the id 9"),
        ("id,label,Usage\n1,cat,Test\n", "line 2"),
        ("id,label,Usage\n1,car,Public\n", "line 2"),
        ("id,label,Usage\n1,cat,Public\n1,cat,Public\n", "line 3: the id 1 stands on line 2"),
        (f"id,label,Usage\n{'9' * 5000},cat,Public\n", "line 2"),
        ("a,b\n1,cat\n", "must begin with 'id,label,Usage'"),
    ],
)
def test_accuracy_names_what_is_wrong(tmp_path: Path, solution: str, words: str) -> None:
    (tmp_path / "s.csv").write_text(text_of(["1,cat"]))
    (tmp_path / "solution.csv").write_text(solution)
    with pytest.raises(UserError, match=words):
        submission.accuracy(tmp_path / "s.csv", tmp_path / "solution.csv")
