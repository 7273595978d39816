"""The table of submissions, for the terminal and for the pages."""

import statistics
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kaggle_cifar.console import table
from kaggle_cifar.evaluation.expected_score import ExpectedScore
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.report.components import Cell, Table
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.submission.leaderboard import (
    Standing,
    parse_score,
    read_leaderboard,
    standing_of,
)
from kaggle_cifar.submission.record import MAYBE_SENT, State, all_entries, state_of
from kaggle_cifar.training.run_summary import has_validation

OPTIONAL_COLUMNS = ("expected", "rank", "gap to first")  # left out if no submission has a value


EXPECTED_NOTE = (
    "expected: the 95 % interval of the score, from the validation accuracy, the spread of seeds, "
    "the choice of epoch and harder test images."
)


class SubmissionRow(NamedTuple):
    """A submission in a table; its scores are texts."""

    file: str
    runs: str
    validation: str
    expected: ExpectedScore | None
    public_score: str
    private_score: str
    standing: Standing | None
    state: str
    submitted_at: str

    @property
    def expected_cell(self) -> Cell:
        """The expected score, which sorts by its lower end."""
        return Cell(str(self.expected), self.expected.interval[0]) if self.expected else Cell("")

    @property
    def rank_cell(self) -> Cell:
        """The rank among the teams of the leaderboard."""
        return Cell(self.standing.rank_text, self.standing.rank) if self.standing else Cell("")

    @property
    def gap_cell(self) -> Cell:
        """The gap to the first team."""
        return Cell(self.standing.gap_text, self.standing.gap) if self.standing else Cell("")


def submission_rows(
    expectations: Expectations, entries: Iterable[dict[str, Any]]
) -> list[SubmissionRow]:
    """Return the row of each entry of a record."""
    leaderboard = read_leaderboard(expectations.project.submissions)
    return [submission_row(entry, expectations, leaderboard) for entry in entries]


def submission_row(
    entry: dict[str, Any], expectations: Expectations, leaderboard: Mapping[str, Any]
) -> SubmissionRow:
    """Return the row of an entry of a record."""
    state = state_of(entry)
    return SubmissionRow(
        file=entry["file"],
        runs=" + ".join(entry.get("runs", [])),
        validation=mean_validation_accuracy(expectations, entry.get("runs", [])),
        expected=expectations.of_submission(entry),
        public_score=entry.get("public_score") or "",
        private_score=entry.get("private_score") or "",
        standing=standing_of(entry, leaderboard),
        state="not submitted" if state is State.WRITTEN else state.lower(),
        submitted_at=(entry.get("submitted_at") or "").replace("T", " ").partition("+")[0],
    )


def submissions_table(expectations: Expectations, entries: Iterable[dict[str, Any]]) -> Table:
    """Return the table of submissions for a page."""
    header = (
        "submission",
        "runs",
        "state",
        "expected",
        "public score",
        "private score",
        "rank",
        "gap to first",
        "submitted (UTC)",
    )
    rows = [
        (
            Cell(row.file),
            Cell(row.runs),
            Cell(row.state),
            row.expected_cell,
            score_cell(row.public_score),
            score_cell(row.private_score),
            row.rank_cell,
            row.gap_cell,
            Cell(row.submitted_at),
        )
        for row in submission_rows(expectations, entries)
    ]
    return without_empty_columns(Table("Submissions", header, rows))


def without_empty_columns(shown: Table) -> Table:
    """Return a table without those of OPTIONAL_COLUMNS that have no text."""
    kept = [
        column
        for column, name in enumerate(shown.header)
        if name not in OPTIONAL_COLUMNS or any(row[column].text for row in shown.rows)
    ]
    header = [shown.header[column] for column in kept]
    return Table(shown.title, header, [[row[column] for column in kept] for row in shown.rows])


def describe_submissions(project: ProjectPaths) -> str:
    """Return the table of submissions, and a sentence for each record that cannot be read."""
    header = (
        "submission",
        "validation",
        "expected",
        "public",
        "private",
        "rank",
        "gap to first",
        "status",
        "submitted (UTC)",
    )
    entries, problems = all_entries(project.submissions)
    sent_entries = [part for part in entries if state_of(part) in MAYBE_SENT]
    sent = submission_rows(Expectations.read(project), sent_entries)
    rows = [
        (
            Cell(row.file.removesuffix(".csv")),
            Cell(row.validation),
            row.expected_cell,
            Cell(row.public_score),
            Cell(row.private_score),
            row.rank_cell,
            row.gap_cell,
            Cell(row.state),
            Cell(row.submitted_at),
        )
        for row in sent
    ]
    if not sent:
        return "\n".join(problems)
    shown = without_empty_columns(Table("Submissions", header, rows))
    text = table(shown.header, [[cell.text for cell in row] for row in shown.rows])
    return "\n".join([text, *notes_on(sent), *problems])


def notes_on(rows: Iterable[SubmissionRow]) -> list[str]:
    """Return a sentence about each of the OPTIONAL_COLUMNS that are shown."""
    notes = []
    if any(row.expected for row in rows):
        notes.append(EXPECTED_NOTE)
    if standings := [row.standing for row in rows if row.standing]:
        parts = " or ".join(sorted({standing.part for standing in standings}))
        notes.append(
            f"rank: where the {parts} score would stand on Kaggle's leaderboard, read on "
            f"{standings[0].date}."
        )
    return notes


def mean_validation_accuracy(expectations: Expectations, names: Iterable[str]) -> str:
    """Return the mean validation accuracy of the runs of a submission as text."""
    found = [run.metrics for name in names if (run := expectations.runs.get(name))]
    accuracies = [part["validation_accuracy"] for part in found if has_validation(part)]
    if not accuracies:
        return ""
    mean = f"{statistics.mean(accuracies):.4f}"
    return f"{mean} (mean of {len(accuracies)})" if len(accuracies) > 1 else mean


def score_cell(score: str | None) -> Cell:
    """Return the cell of one of Kaggle's scores, which are texts."""
    return Cell(score or "", parse_score(score))
