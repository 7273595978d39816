"""The accuracy of a submission CSV by a CSV with the solution."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kaggle_cifar import competition
from kaggle_cifar.data import labels
from kaggle_cifar.errors import UserError
from kaggle_cifar.submission.validate import SubmissionReader, is_plain

HOW_TO_GET_A_SOLUTION = "A solution is a CSV with the header id,label,Usage."
USAGES = ("public", "private", "ignored")


class UnscoredIdError(UserError):
    """A submission lacks an id that the solution scores; `image_id` is the id."""

    def __init__(self, path: Path, solution: Path, image_id: int) -> None:
        super().__init__(
            f"{path} has no row for the id {image_id}, which the solution {solution} has. "
            "Use the solution of the same competition."
        )
        self.image_id = image_id


class InvalidSolutionError(UserError):
    """A solution has a wrong line; `path` and `line` say where."""

    def __init__(self, path: Path, line: int, expected: str, found: str) -> None:
        super().__init__(f"{path}, line {line}: expected {expected}, found {found[:60]!r}.")
        self.path, self.line = path, line


@dataclass(frozen=True)
class Accuracy:
    """How many of a number of scored rows are right."""

    right: int = 0
    count: int = 0

    @property
    def value(self) -> float:
        """The fraction of right rows; 0 if none is scored."""
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
    UnscoredIdError
        If the submission lacks an id that is scored.
    InvalidSolutionError
        If a line of the solution is wrong.
    UserError
        If a file cannot be read.
    """
    predictions = SubmissionReader(path).labels
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for image_id, label, usage in read_solution(solution_path):
        if usage == "ignored":
            continue
        if image_id not in predictions:
            raise UnscoredIdError(path, solution_path, image_id)
        count[usage] += 1
        right[usage] += predictions[image_id] == label
    public = Accuracy(right["public"], count["public"])
    private = Accuracy(right["private"], count["private"])
    overall = Accuracy(public.right + private.right, public.count + private.count)
    return Accuracies(overall, public, private)


def read_solution(path: Path) -> list[tuple[int, str, str]]:
    """Return id, label and usage ("public", "private", "ignored") of each row of a solution."""
    header, *lines = labels.read_table(path, HOW_TO_GET_A_SOLUTION).removesuffix("\n").split("\n")
    names = header.lower().split(",")
    if names not in (["id", "label"], ["id", "label", "usage"]):
        raise InvalidSolutionError(path, 1, "id,label,Usage", header)
    rows = []
    for number, line in enumerate(lines, start=2):
        image_id, label, usage, *_ = (*line.split(","), "public", "public", "public")
        usage = usage.lower()
        if (
            line.count(",") != len(names) - 1
            or not is_plain(image_id)
            or usage not in USAGES
            or (usage != "ignored" and label not in competition.CLASS_NAMES)
        ):
            expected = f"{header} with the name of a class, and Public, Private or Ignored"
            raise InvalidSolutionError(path, number, expected, line)
        rows.append((int(image_id), label, usage))
    labels.check_duplicate_ids(path, [image_id for image_id, _, _ in rows])
    return rows
