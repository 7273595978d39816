import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar import __version__, competition, files
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, ProjectPaths
from kaggle_cifar.ownership import RESERVED, ForeignPathError
from kaggle_cifar.submission import validate
from kaggle_cifar.submission import write as write_module
from kaggle_cifar.submission.record import (
    MAYBE_SENT,
    CsvNameError,
    State,
    digest_of,
    read_record,
    update_record,
)
from kaggle_cifar.submission.write import (
    DuplicatePredictionError,
    OtherRunsError,
    SubmittedCsvError,
)
from tests.helpers.small_data import IDS, text_of


def write(path: Path, classes: Sequence[int], run: str = "model3", **origin: Any) -> None:
    """Write a submission of the ids from 1 on."""
    ids = np.arange(1, len(classes) + 1)
    write_module.write_submission(path, ids, np.array(classes), [run], **origin)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return the content of each file in a folder except locks."""
    paths = [path for path in folder.iterdir() if not path.name.startswith(RESERVED)]
    return {path.name: path.read_bytes() for path in paths}


class FakeRun:
    """A run with weights of a known digest."""

    def __init__(self, name: str) -> None:
        self.name = name

    def weights_sha256(self) -> str:
        return f"sha of {self.name}"


@given(st.dictionaries(st.integers(0, 10**12), st.integers(0, 9), max_size=60))
@settings(max_examples=30)
def test_rows_are_written_once_in_ascending_order(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "s.csv"
    write_module.write_submission(
        path,
        np.array(list(rows), dtype=np.int64),
        np.array(list(rows.values()), dtype=np.int32),
        ["model3"],
    )
    expected = [f"{i},{competition.CLASS_NAMES[rows[i]]}" for i in sorted(rows)]
    assert path.read_bytes().decode() == text_of(expected)
    assert validate.check(path, rows.keys()).faults == []


def test_duplicate_ids_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(DuplicatePredictionError) as caught:
        write_module.write_submission(
            tmp_path / "s.csv", np.array([7, 3, 7], dtype=np.int64), np.array([1, 2, 3]), ["model3"]
        )
    assert caught.value.image_id == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ids", "classes"), [([1, 2], [1]), ([1, 2], [1, 10]), ([1, 2], [-1, 0])])
def test_impossible_classes_are_not_written(
    tmp_path: Path, ids: list[int], classes: list[int]
) -> None:
    with pytest.raises(UserError):
        write_module.write_submission(
            tmp_path / "s.csv", np.array(ids), np.array(classes), ["model3"]
        )
    assert list(tmp_path.iterdir()) == []


def test_a_record_says_how_to_make_the_csv_again(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    runs = [FakeRun("one"), FakeRun("two")]
    write(path, [1, 2], **write_module.origin_of(runs, "tta", [0.25, 0.75]))
    record = read_record(path)
    assert record == {
        "runs": ["model3"],
        "weights_sha256": ["sha of one", "sha of two"],
        "ensemble_weights": [0.25, 0.75],
        "views": "tta",
        "version": __version__,
        "sha256": digest_of(path),
    }
    assert write_module.origin_of(runs, "plain", None)["ensemble_weights"] == [0.5, 0.5]


def test_a_csv_that_was_not_submitted_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write(path, [1, 2])
    write(path, [3, 4])
    assert read_record(path)["sha256"] == digest_of(path)
    before = contents_of(tmp_path)
    with pytest.raises(OtherRunsError) as caught:
        write(path, [5, 6], "other")
    assert (caught.value.path, caught.value.runs) == (path, read_record(path)["runs"])
    assert contents_of(tmp_path) == before


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
def test_a_foreign_or_edited_csv_is_not_replaced(tmp_path: Path, is_edited: bool) -> None:
    path = tmp_path / "s.csv"
    if is_edited:
        write(path, [1, 2])
    path.write_text("mine")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ForeignPathError) as caught:
        write(path, [3, 4])
    assert caught.value.path == path
    assert path.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before  # not even a lock is left


def test_a_csv_is_not_written_by_two_processes(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with files.lock_file(path, "prediction"), pytest.raises(BusyError):
        write(path, [1, 2])
    assert contents_of(tmp_path) == {}


def test_a_csv_with_the_same_content_is_adopted(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text_of(["1,bird", "2,cat"]))
    write(path, [2, 3])
    write(path, [4, 5])
    assert path.read_text() == text_of(["1,deer", "2,dog"])


def test_a_foreign_csv_with_a_record_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("mine")
    update_record(path, sha256=digest_of(path), status=State.NOT_SENT)
    with pytest.raises(ForeignPathError):
        write(path, [1, 2])
    assert path.read_text() == "mine"


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_csv_can_be_written_after_a_killed_write(
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


def output(project: ProjectPaths, path: Path | None, runs: Sequence[str] = ("model3",)) -> Path:
    return write_module.choose_output(project, runs, "plain", False, path)


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
def test_an_output_with_a_wrong_name_or_folder_is_refused(project: ProjectPaths, name: str) -> None:
    root = project.data.parent
    project.data.mkdir()
    (root / "to-data").symlink_to(project.data)
    (root / "to-text.csv").symlink_to(root / "text.txt")
    with pytest.raises(CsvNameError) as caught:
        output(project, root / name)
    assert caught.value.path == root / name


def test_an_output_must_be_a_regular_file(project: ProjectPaths) -> None:
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


def test_a_foreign_json_in_the_records_place_is_kept(project: ProjectPaths) -> None:
    path = project.data.parent / "config.csv"
    path.with_suffix(".json").write_text('{"mine": 1}')
    for action in (lambda: output(project, path), lambda: write(path, [1, 2])):
        with pytest.raises(ForeignPathError) as caught:
            action()
        assert caught.value.path == path.with_suffix(".json")
    assert contents_of(path.parent) == {"config.json": b'{"mine": 1}'}


def test_an_output_link_is_followed_and_kept(project: ProjectPaths) -> None:
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


def test_submissions_may_be_inside_the_data_folder(project: ProjectPaths) -> None:
    inside = dataclasses.replace(project, submissions=project.data / "csv")
    assert output(inside, inside.submissions / "s.csv")
    assert output(dataclasses.replace(project, data=project.data.parent), None)


def test_an_output_of_other_runs_is_refused(project: ProjectPaths) -> None:
    path = project.submissions / "s.csv"
    path.parent.mkdir()
    write(path, [1, 2])
    runs = read_record(path)["runs"]
    assert output(project, path, runs) == path
    with pytest.raises(OtherRunsError) as caught:
        output(project, path, ["other"])
    assert (caught.value.path, caught.value.runs) == (path, runs)


def test_a_default_output_name_lists_the_runs(project: ProjectPaths) -> None:
    assert output(project, None, ["a", "b"]).name == "a+b.csv"
    runs = [f"airbench94-seed{seed}" for seed in range(26)]
    names = {output(project, None, chosen).name for chosen in (runs, runs[:25], runs)}
    assert len(names) == 2
    for name in names:
        assert len(name) < 40
        assert "26-runs" in name or "25-runs" in name
    path = write_module.choose_output(project, ["a"], "tta", True, None)
    assert path == project.submissions / "a-tta-weighted.csv"
