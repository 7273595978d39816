import codecs
import dataclasses
import gzip
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaggle_cifar import __version__, competition, files
from kaggle_cifar.data import labels
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import RESERVED, ForeignPathError
from kaggle_cifar.submission import validate
from kaggle_cifar.submission.record import (
    MAYBE_SENT,
    CsvNameError,
    InvalidRecordError,
    State,
    change_state,
    digest_of,
    read_record,
    update_record,
)
from kaggle_cifar.submission.validate import NotACsvError, SubmittedCsvError
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import IDS, ROWS, text_of


def faults_of(path: Path, content: str | bytes) -> list[str]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return validate.check(path, IDS).faults


# -- writing


@given(st.dictionaries(st.integers(0, 10**12), st.integers(0, 9), max_size=60))
def test_writes_every_row_once_in_ascending_order(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "s.csv"
    validate.write_submission(
        path,
        np.array(list(rows), dtype=np.int64),
        np.array(list(rows.values()), dtype=np.int32),
        ["model3"],
    )
    expected = [f"{i},{competition.CLASS_NAMES[rows[i]]}" for i in sorted(rows)]
    assert path.read_bytes().decode() == text_of(expected)
    assert validate.check(path, rows.keys()).faults == []


def test_refuses_to_write_doubled_ids(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="id 7 is predicted more than once"):
        validate.write_submission(
            tmp_path / "s.csv", np.array([7, 3, 7], dtype=np.int64), np.array([1, 2, 3]), ["model3"]
        )
    assert contents_of(tmp_path) == {}


def write(path: Path, classes: Sequence[int], run: str = "model3", **origin: Any) -> None:
    """Write a submission of the ids from 1 on."""
    ids = np.arange(1, len(classes) + 1)
    validate.write_submission(path, ids, np.array(classes), [run], **origin)


def contents_of(folder: Path) -> dict[str, bytes]:
    """The content of each file in a folder, but locks and the like."""
    files = [path for path in folder.iterdir() if not path.name.startswith(RESERVED)]
    return {path.name: path.read_bytes() for path in files}


def test_a_record_says_how_to_make_the_csv_again(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    runs = [FakeRun("one"), FakeRun("two")]
    write(path, [1, 2], **validate.origin_of(runs, "tta", [0.25, 0.75]))
    record = read_record(path)
    assert record == {
        "runs": ["model3"],
        "weights_sha256": ["sha of one", "sha of two"],
        "ensemble_weights": [0.25, 0.75],
        "views": "tta",
        "version": __version__,
        "sha256": digest_of(path),
    }
    assert validate.origin_of(runs, "plain", None)["ensemble_weights"] == [0.5, 0.5]


class FakeRun:
    """A run with weights of a known digest."""

    def __init__(self, name: str) -> None:
        self.name = name

    def weights_sha256(self) -> str:
        return f"sha of {self.name}"


def test_a_csv_that_was_not_submitted_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write(path, [1, 2])
    write(path, [3, 4], "other")
    record = read_record(path)
    assert (record["runs"], record["sha256"]) == (["other"], digest_of(path))


@pytest.mark.parametrize("state", sorted(MAYBE_SENT - {State.ERROR}))
def test_a_submitted_csv_is_never_replaced_by_another(tmp_path: Path, state: State) -> None:
    path = tmp_path / "s.csv"
    write(path, [1, 2])
    update_record(path, status=state, ref=4001)
    before = contents_of(tmp_path)
    with pytest.raises(SubmittedCsvError) as caught:
        write(path, [3, 4])
    assert (caught.value.path, caught.value.ref) == (path, 4001)
    write(path, [1, 2], "other")  # the same content: left alone
    assert contents_of(tmp_path) == before


def test_a_csv_that_kaggle_could_not_score_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write(path, [1, 2])
    before = update_record(path, status=State.ERROR, ref=4001)
    write(path, [3, 4])
    assert read_record(path)["earlier"] == [before]


@pytest.mark.parametrize("is_edited", [False, True])
def test_a_foreign_or_edited_csv_is_kept(tmp_path: Path, is_edited: bool) -> None:
    path = tmp_path / "s.csv"
    if is_edited:
        write(path, [1, 2])
    path.write_text("mine")
    before = contents_of(tmp_path)
    with pytest.raises(ForeignPathError) as caught:
        write(path, [3, 4])
    assert caught.value.path == path
    assert contents_of(tmp_path) == before


def test_a_csv_with_the_same_content_is_adopted(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text_of(["1,bird", "2,cat"]))
    write(path, [2, 3])
    write(path, [4, 5])
    assert path.read_text() == text_of(["1,deer", "2,dog"])


def test_a_foreign_csv_that_was_not_sent_is_not_this_programs(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("mine")
    update_record(path, sha256=digest_of(path), status=State.NOT_SENT)
    with pytest.raises(ForeignPathError):
        write(path, [1, 2])
    assert path.read_text() == "mine"


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_death_while_writing_blocks_no_later_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int, is_there: bool
) -> None:
    path = tmp_path / "s.csv"
    if is_there:
        write(path, [1, 2])
    replace, calls = Path.replace, []

    def die(source: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == call:
            raise KeyboardInterrupt
        return replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            write(path, [3, 4])
    write(path, [5, 6])
    assert path.read_text() == text_of(["1,dog", "2,frog"])
    assert read_record(path)["sha256"] == digest_of(path)


# -- where a CSV may be


def output(project: ProjectPaths, path: Path | None, runs: Sequence[str] = ("model3",)) -> Path:
    return validate.choose_output(project, runs, "plain", False, path)


@pytest.mark.parametrize(
    "name",
    [
        "s.json",
        "s",
        ".csv",
        "s.csv.gz",
        "runs/model1/metrics.csv",
        "runs/s.csv",
        "data/s.csv",
        "data/raw/trainLabels.csv",
        "submissions/../runs/s.csv",
        "submissions/.kaggle-cifar.s.csv",
        f"submissions/{'x' * 230}.csv",
        "to-data/s.csv",
        "to-text.csv",
    ],
)
def test_a_csv_has_its_place_and_name(project: ProjectPaths, name: str) -> None:
    root = project.data.parent
    project.data.mkdir()
    (root / "to-data").symlink_to(project.data)
    (root / "to-text.csv").symlink_to(root / "text.txt")
    with pytest.raises(CsvNameError) as caught:
        output(project, root / name)
    assert caught.value.path == root / name


def test_what_is_no_regular_file_is_no_output(project: ProjectPaths) -> None:
    root = project.data.parent
    os.mkfifo(root / "pipe.csv")
    (root / "folder.csv").mkdir()
    (root / "device.csv").symlink_to("/dev/null")
    for name in ("pipe.csv", "folder.csv", "device.csv"):
        with pytest.raises(ForeignPathError) as caught:
            output(project, root / name)
        assert caught.value.path == root / name
        with pytest.raises(ForeignPathError):
            write(root / name, [1, 2])
        with pytest.raises(ForeignPathError):
            validate.check(root / name, IDS)


def test_a_foreign_json_beside_the_csv_is_refused_and_kept(project: ProjectPaths) -> None:
    path = project.data.parent / "config.csv"
    path.with_suffix(".json").write_text('{"mine": 1}')
    for action in (lambda: output(project, path), lambda: write(path, [1, 2])):
        with pytest.raises(ForeignPathError) as caught:
            action()
        assert caught.value.path == path.with_suffix(".json")
    assert contents_of(path.parent) == {"config.json": b'{"mine": 1}'}


def test_a_link_is_followed_and_stays(project: ProjectPaths) -> None:
    root = project.data.parent
    (root / "elsewhere").mkdir()
    project.submissions.mkdir()
    link, target = project.submissions / "s.csv", root / "elsewhere" / "t.csv"
    link.symlink_to(target)
    assert output(project, link) == link
    write(link, [1, 2])
    write(link, [3, 4])
    assert link.is_symlink()
    assert contents_of(target.parent).keys() == {"t.csv", "t.json"}
    assert read_record(link) == read_record(target)


def test_the_submissions_may_be_inside_the_data(project: ProjectPaths) -> None:
    inside = dataclasses.replace(project, submissions=project.data / "csv")
    assert output(inside, inside.submissions / "s.csv")
    assert output(dataclasses.replace(project, data=project.data.parent), None)


def test_a_default_name_lists_the_runs_and_stays_short(project: ProjectPaths) -> None:
    assert output(project, None, ["a", "b"]).name == "a+b.csv"
    runs = [f"airbench94-seed{seed}" for seed in range(26)]
    names = {output(project, None, chosen).name for chosen in (runs, runs[:25], runs)}
    assert len(names) == 2
    for name in names:
        assert len(name) < 40
        assert "26-runs" in name or "25-runs" in name
    path = validate.choose_output(project, ["a"], "tta", True, None)
    assert path == project.submissions / "a-tta-weighted.csv"


# -- the record


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("submitted_at", 7),
        ("submitted_at", "yesterday"),
        ("submitted_at", "2026-11-23"),
        ("status", "LOST"),
        ("status", None),
        ("status", ["PENDING"]),
        ("ref", "4001"),
        ("ref", True),
        ("runs", "model3"),
        ("runs", ["../model3"]),
        ("runs", ["x" * 5000]),
        ("public_score", 0.8),
        ("sha256", None),
        ("token", 5),
        ("earlier", {}),
        ("earlier", [7]),
        ("earlier", [{"ref": []}]),
    ],
)
def test_an_odd_value_in_a_record_is_named(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "s.csv"
    files.write_record(tmp_path / "s.json", "submission", {"sha256": "", key: value})
    with pytest.raises(InvalidRecordError) as caught:
        read_record(path)
    assert caught.value.path == tmp_path / "s.json"
    assert caught.value.key == ("ref" if value == [{"ref": []}] else key)


def test_a_state_follows_only_on_some(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with pytest.raises(ValueError, match="COMPLETE cannot follow on WRITTEN"):
        change_state(path, State.COMPLETE)
    for state in (State.SENDING, State.UNKNOWN, State.PENDING, State.COMPLETE):
        change_state(path, state)
    with pytest.raises(ValueError, match="SENDING cannot follow on COMPLETE"):
        change_state(path, State.SENDING)


# -- checking


def quoted(text: str) -> str:
    """The text with every cell in quotes, as R's write.csv writes it."""
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
def test_what_kaggle_takes_has_neither_fault_nor_warning(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.csv"
    assert faults_of(path, content) == []
    assert validate.check(path, IDS) == validate.CheckResult(rows=40)


def changed(number: int, row: str) -> list[str]:
    """The rows with the one on this line of the file replaced."""
    return [*ROWS[: number - 2], row, *ROWS[number - 1 :]]


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        ("", ["the file is empty", "40 (1, 2", "there are 0 rows"]),
        ("\n\n", ["the file is empty", "40 (1, 2", "there are 0 rows"]),
        (text_of(ROWS, "id,class"), ["the header is 'id,class'"]),
        ("\n".join(ROWS), ["the header is missing"]),
        (text_of(ROWS[:-2]), ["ids missing: 2 (39, 40)", "there are 38 rows"]),
        (text_of([*ROWS, ROWS[4]]), ["ids doubled: 1 (line 42: 5)", "there are 41 rows"]),
        (text_of(changed(9, "900,cat")), ["ids missing: 1 (8)", "ids unknown: 1 (line 9: 900)"]),
        (text_of(changed(9, "8,Ship")), ["not in lower case: 1 (line 9: 'Ship')"]),
        (text_of(changed(9, "8,car")), ["unknown or empty labels: 1 (line 9: 'car')"]),
        (text_of(changed(9, "8,")), ["unknown or empty labels: 1 (line 9: '')"]),
        (text_of(changed(9, "8,'ship'")), ["unknown or empty labels: 1 (line 9: \"'ship'\")"]),
        (text_of(changed(9, "8.0,ship")), ["plain integers: 1 (line 9: '8.0')", "missing: 1 (8)"]),
        (text_of(changed(9, "08,ship")), ["plain integers: 1 (line 9: '08')", "missing: 1 (8)"]),
        (text_of(changed(9, "-8,ship")), ["plain integers: 1 (line 9: '-8')", "missing: 1 (8)"]),
        (text_of(changed(9, "8;ship")), ["without an id and a label: 1 (l", "ids missing: 1 (8)"]),
        (
            text_of(changed(9, "8,été")).encode("latin-1"),
            ["unknown or empty labels: 1 (line 9: 'été')"],
        ),
        (text_of([*ROWS[:39], '"40,' + "x" * 140_000]), ["not CSV", "missing: 1 (40)", "39 rows"]),
    ],
)
def test_every_fault_is_named_with_its_first_lines(
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
        (text_of(ROWS).encode("utf-16"), "UTF-16 text"),
        (text_of(ROWS).encode("utf-16-le"), "UTF-16 text"),
    ],
)
def test_what_kaggle_may_refuse_is_a_warning(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    assert faults_of(tmp_path / "s.csv", content) == []
    [warning] = validate.check(tmp_path / "s.csv", IDS).warnings
    assert warning.startswith("Kaggle may refuse this: ")
    assert words in warning


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (gzip.compress(b"id,label", mtime=0), "a gzip file"),
        (b"PK\x03\x04\x14\x00\x1b[31m", "a zip archive or an Excel workbook"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\x93NUMPY\x01\x00", "a NumPy array"),
        (bytes(5_000), "binary data"),
        (b"\x1b[31m", "binary data"),
    ],
)
def test_what_is_no_text_is_named_by_its_kind(tmp_path: Path, content: bytes, kind: str) -> None:
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
def test_a_device_is_not_read(project: ProjectPaths) -> None:
    with pytest.raises(ForeignPathError):
        validate.check(Path("/dev/zero"), IDS)
    with pytest.raises(ForeignPathError):
        validate.read_solution(Path("/dev/zero"))


def test_names_an_id_of_thousands_of_digits(tmp_path: Path) -> None:
    rows = ["9" * 5000 + ",cat", *ROWS[1:]]
    assert any("line 2" in fault for fault in faults_of(tmp_path / "s.csv", text_of(rows)))


def test_finds_many_faults_at_once(tmp_path: Path) -> None:
    rows = ["1,Cat", '"2",dog', "", "4,lion", "4,cat", "x,cat", *ROWS[6:]]
    found = faults_of(tmp_path / "s.csv", text_of(rows))
    kinds = ("lower case", "unknown or empty", "doubled", "integers", "missing")
    assert [kind for kind in kinds if not any(kind in fault for fault in found)] == []


def test_warns_of_one_class_over_half(tmp_path: Path) -> None:
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


# -- scoring


def write_solution(path: Path, site: KaggleSite) -> Path:
    rows = [f"{i},{label},{usage}" for i, (label, usage) in site.solution.items()]
    path.write_text(text_of(rows, "id,label,Usage"))
    return path


def test_accuracy_by_usage(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(quoted(text_of(["1,cat", "2,dog", "3,cat", "4,cat", "5,frog"])))
    solution = tmp_path / "solution.csv"
    rows = ["1,cat,Public", "2,cat,PUBLIC", "3,cat,Private", "4,dog,Ignored"]
    solution.write_text(text_of(rows, "id,label,Usage"))
    found = validate.accuracy(tmp_path / "s.csv", solution)
    assert (found.public.right, found.public.count) == (1, 2)
    assert (found.private.right, found.private.count) == (1, 1)
    assert str(found.overall) == "0.66667"
    solution.write_text(text_of(["1,cat", "2,cat"]))
    found = validate.accuracy(tmp_path / "s.csv", solution)
    assert (found.public.value, found.private.count) == (0.5, 0)


@pytest.mark.parametrize(
    ("solution", "words"),
    [
        ("id,label,Usage\n9,cat,Public\n", "has no row for the id 9"),
        ("id,label,Usage\n1,cat,Test\n", "line 2"),
        ("id,label,Usage\n1,car,Public\n", "line 2"),
        ("id,label,Usage\n1,cat,Public\n1,cat,Public\n", "line 3: duplicate id 1"),
        (f"id,label,Usage\n{'9' * 5000},cat,Public\n", "line 2"),
        ("a,b\n1,cat\n", "must begin with 'id,label,Usage'"),
    ],
)
def test_accuracy_names_what_is_wrong(tmp_path: Path, solution: str, words: str) -> None:
    (tmp_path / "s.csv").write_text(text_of(["1,cat"]))
    (tmp_path / "solution.csv").write_text(solution)
    with pytest.raises(UserError, match=words):
        validate.accuracy(tmp_path / "s.csv", tmp_path / "solution.csv")
