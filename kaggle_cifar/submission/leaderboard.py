"""Kaggle's leaderboard, and where a score would stand on it.

The competition has ended, so Kaggle gives a new submission scores but no rank. The teams' scores
are kept in a record in the folder of submissions, which may be deleted at any time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kaggle_cifar import competition, files, ownership
from kaggle_cifar.console import say
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import is_number
from kaggle_cifar.kaggle.client import call
from kaggle_cifar.ownership import RESERVED

KIND = "leaderboard"
PARTS = ("private", "public")  # the final standing first
PAGE_SIZE = 200  # teams; Kaggle sends fewer if it wants to


@dataclass(frozen=True)
class Standing:
    """Where a score would stand on a leaderboard.

    `part` is "private" or "public", `teams` the number of teams, `first` the score of the first,
    and `gap` that score minus this one, from -1 to 1. `date` says when the list was read.
    """

    part: str
    rank: int
    teams: int
    first: float
    gap: float
    date: str

    @property
    def rank_text(self) -> str:
        """The rank and the number of teams, as text."""
        return f"{self.rank} of {self.teams:,}"

    @property
    def gap_text(self) -> str:
        """The gap to the first team, as text."""
        return f"{abs(self.gap):.4f} {'behind' if self.gap >= 0 else 'ahead'}"


def leaderboard_file(submissions: Path) -> Path:
    """Return the record of the leaderboard in the folder of submissions."""
    return submissions / f"{RESERVED}.leaderboard.json"


def parse_score(score: Any) -> float | None:
    """Return one of Kaggle's scores, a text, as a share of 1; None if it is anything else."""
    if not isinstance(score, str) or not re.fullmatch(r"\d+(\.\d+)?", score):
        return None
    value = float(score)
    return value if value <= 1 else None


def list_scores(api: Any, part: str) -> list[float]:
    """Return the scores of all teams on the "public" or "private" leaderboard.

    The client's own function returns only one page, and only the private leaderboard if there is
    one, as in each competition that has ended.
    """
    from kagglesdk.competitions.types.competition_api_service import ApiGetLeaderboardRequest

    request = ApiGetLeaderboardRequest()
    request.competition_name = competition.SLUG
    request.override_public = part == "public"
    request.page_size = PAGE_SIZE
    scores: list[float] = []
    while True:
        with api.build_kaggle_client() as kaggle:
            answer = kaggle.competitions.competition_api_client.get_leaderboard(request)
        shown = (parse_score(team.score) for team in answer.submissions or [])
        scores += [score for score in shown if score is not None]
        if not answer.next_page_token or not answer.submissions:
            return scores
        request.page_token = answer.next_page_token


def show_standing(api: Any, submissions: Path, entry: Mapping[str, Any]) -> None:
    """Update the leaderboard and print where a scored submission would stand."""
    update_leaderboard(api, submissions)
    if standing := standing_of(entry, read_leaderboard(submissions)):
        say(describe_standing(standing))


def update_leaderboard(api: Any, submissions: Path) -> None:
    """Read Kaggle's leaderboard and keep it; print a sentence if it cannot be had."""
    path = leaderboard_file(submissions)
    try:
        doing = "Reading the leaderboard"
        scores = {part: call(list_scores, api, part, doing=doing, attempts=1) for part in PARTS}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with files.lock_file(path, KIND):
            files.write_record(path, KIND, {"date": now, **scores})
    except UserError:
        say("Kaggle's leaderboard could not be read.")


def read_leaderboard(submissions: Path) -> dict[str, Any]:
    """Return the "date" of the leaderboard and the scores of its parts; {} if there is none."""
    try:
        content = ownership.read_record(leaderboard_file(submissions), KIND)
        datetime.fromisoformat(content["date"])
        is_valid = all(is_number(score, 0, 1) for part in PARTS for score in content[part])
    except (UserError, KeyError, TypeError, ValueError):
        return {}
    return content if is_valid else {}


def standing_of(entry: Mapping[str, Any], leaderboard: Mapping[str, Any]) -> Standing | None:
    """Return where a scored submission would stand; None if that is unknown.

    The private score decides the final rank; the public one is used if Kaggle hides the other.
    Kaggle ranks the earlier of equal scores first, so a new one stands behind all of them.
    """
    for part in PARTS:
        scores, score = leaderboard.get(part), parse_score(entry.get(f"{part}_score"))
        if scores and score is not None:
            rank = 1 + sum(other >= score for other in scores)
            date, _, _ = leaderboard["date"].partition("T")
            first = max(scores)
            return Standing(part, rank, len(scores), first, first - score, date)
    return None


def describe_standing(standing: Standing) -> str:
    """Return a sentence about where a score would stand."""
    to_first = f"{standing.gap_text}{'' if standing.gap >= 0 else ' of'}"
    return (
        f"The {standing.part} score would rank {standing.rank:,} among {standing.teams:,} teams, "
        f"{to_first} the first ({standing.first:.4f})."
    )
