from pathlib import Path

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.submission.score import (
    InvalidSolutionError,
    UnscoredIdError,
    accuracy,
    read_solution,
)
from tests.helpers.kaggle_server import KaggleSite
from tests.helpers.small_data import text_of


def write_solution(path: Path, site: KaggleSite) -> Path:
    rows = [f"{i},{label},{usage}" for i, (label, usage) in site.solution.items()]
    path.write_text(text_of(rows, "id,label,Usage"))
    return path


def test_accuracy_is_counted_by_usage(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text_of(["1,cat", '"2",dog', "3,cat", "4,cat", "5,frog"]))
    solution = tmp_path / "solution.csv"
    rows = ["1,cat,Public", "2,cat,PUBLIC", "3,cat,Private", "4,dog,Ignored"]
    solution.write_text(text_of(rows, "id,label,Usage"))
    found = accuracy(tmp_path / "s.csv", solution)
    assert (found.public.right, found.public.count) == (1, 2)
    assert (found.private.right, found.private.count) == (1, 1)
    assert str(found.overall) == "0.66667"
    solution.write_text(text_of(["1,cat", "2,cat"]))
    found = accuracy(tmp_path / "s.csv", solution)
    assert (found.public.value, found.private.count, found.private.value) == (0.5, 0, 0)


def test_a_scored_id_without_a_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(text_of(["1,cat"]))
    (tmp_path / "solution.csv").write_text("id,label,Usage\n9,cat,Public\n")
    with pytest.raises(UnscoredIdError) as caught:
        accuracy(tmp_path / "s.csv", tmp_path / "solution.csv")
    assert caught.value.image_id == 9


@pytest.mark.parametrize(
    ("solution", "line"),
    [
        ("id,label,Usage\n1,cat,Test\n", 2),
        ("id,label,Usage\n1,car,Public\n", 2),
        (f"id,label,Usage\n{'9' * 5000},cat,Public\n", 2),
        ("id,label\n1,cat\n2,cat,Public\n", 3),
        ("a,b\n1,cat\n", 1),
    ],
)
def test_a_wrong_line_of_a_solution_is_named(tmp_path: Path, solution: str, line: int) -> None:
    path = tmp_path / "solution.csv"
    path.write_text(solution)
    with pytest.raises(InvalidSolutionError) as caught:
        read_solution(path)
    assert (caught.value.path, caught.value.line) == (path, line)


def test_a_solution_without_duplicate_ids_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "solution.csv"
    path.write_text("id,label,Usage\n1,cat,Public\n1,cat,Public\n")
    with pytest.raises(UserError, match="line 3"):
        read_solution(path)


def test_a_solution_must_be_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(ForeignPathError):
        read_solution(tmp_path)
