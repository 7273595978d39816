"""Kaggle's leaderboard, read by the real client from the server that stands in for Kaggle."""

import json
from typing import Any

import pytest

from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle.client import open_client
from kaggle_cifar.submission.leaderboard import (
    leaderboard_file,
    list_scores,
    read_leaderboard,
    standing_of,
    update_leaderboard,
)
from kaggle_cifar.submission.submit import submit
from tests.helpers import kaggle_server as server

PRIVATE = [f"{0.95 - 0.01 * number:.5f}" for number in range(45)]  # three pages
PUBLIC = [f"{0.96 - 0.01 * number:.5f}" for number in range(30)]


@pytest.fixture
def api(kaggle_site):
    kaggle_site.leaderboard = {"private": PRIVATE, "public": PUBLIC}
    return open_client()


def test_list_scores_reads_every_page_of_both_parts(api, kaggle_site):
    assert list_scores(api, "private") == [float(score) for score in PRIVATE]
    assert kaggle_site.count("GetLeaderboard") == 3
    assert list_scores(api, "public") == [float(score) for score in PUBLIC]


def test_leaderboard_is_kept_with_its_date(api, project: ProjectPaths):
    update_leaderboard(api, project.submissions)
    content = json.loads(leaderboard_file(project.submissions).read_text())
    assert content["kaggle-cifar"] == "leaderboard"
    found = read_leaderboard(project.submissions)
    assert len(found["private"]) == 45 and len(found["public"]) == 30
    assert found["date"] == content["date"]


def test_scores_that_are_no_shares_are_left_out(api, kaggle_site):
    kaggle_site.leaderboard = {"public": ["95.53", "0.9", "", "none", "1.0"]}
    assert list_scores(api, "public") == [0.9, 1.0]


def standing(public: str | None = None, private: str | None = None) -> Any:
    board = {"date": "2026-11-24T10:00:00+00:00", "private": [0.95, 0.9, 0.9], "public": [0.8]}
    return standing_of({"public_score": public, "private_score": private}, board)


@pytest.mark.parametrize(
    ("score", "rank", "gap"),
    [("0.96", 1, -0.01), ("0.95", 2, 0.0), ("0.92", 2, 0.03), ("0.9", 4, 0.05), ("0", 4, 0.95)],
)
def test_standing_ranks_a_score_behind_equal_ones(score, rank, gap):
    found = standing("0.7", score)
    assert (found.part, found.rank, found.teams, found.date) == ("private", rank, 3, "2026-11-24")
    assert (found.first, found.gap) == (0.95, pytest.approx(gap))
    assert found.gap_text.endswith("behind" if gap >= 0 else "ahead")


def test_standing_is_public_if_the_private_score_is_hidden():
    assert (standing("0.9").part, standing("0.9").rank) == ("public", 1)


def test_standing_is_unknown_without_scores_or_leaderboard():
    assert standing() is None
    assert standing_of({"private_score": "0.9"}, {}) is None
    assert standing_of({"private_score": "0.9"}, {"date": "2026", "private": []}) is None


def test_submit_prints_the_rank_of_the_score(api, csv, project, capsys):
    record = submit(csv, project, wait_seconds=60, sleep=lambda seconds: None)
    found = standing_of(record, read_leaderboard(project.submissions))
    above = sum(float(score) >= float(record["private_score"]) for score in PRIVATE)
    assert (found.rank, found.teams) == (above + 1, 45)
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"rank {found.rank} among 45 teams" in last


@pytest.mark.parametrize(
    "fault",
    [
        server.refuse(403),
        server.refuse(500),
        server.drop,
        server.page_instead,
        server.answer_json({"submissions": 5}),
    ],
)
def test_submit_without_leaderboard_prints_one_sentence(
    api, csv, project, kaggle_site, capsys, fault
):
    kaggle_site.api_faults["GetLeaderboard"] = [fault]
    record = submit(csv, project, wait_seconds=60, sleep=lambda seconds: None)
    assert record["status"] == "COMPLETE"
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "leaderboard" in line] == [lines[-1]]
    assert not leaderboard_file(project.submissions).exists()


def test_foreign_file_in_the_leaderboards_place_is_kept(api, project):
    path = leaderboard_file(project.submissions)
    path.parent.mkdir()
    path.write_text('{"mine": 1}')
    update_leaderboard(api, project.submissions)
    assert path.read_text() == '{"mine": 1}'
    assert read_leaderboard(project.submissions) == {}


@pytest.mark.parametrize(
    "content",
    [
        {"date": "2026-11-24", "private": [2.0], "public": []},
        {"date": "yesterday", "private": [0.5], "public": []},
        {"date": "2026-11-24", "private": [0.5]},
        {"date": "2026-11-24", "private": 0.5, "public": []},
    ],
)
def test_damaged_leaderboard_counts_as_none(project, content):
    path = leaderboard_file(project.submissions)
    path.parent.mkdir()
    path.write_text(json.dumps({"kaggle-cifar": "leaderboard", **content}))
    assert read_leaderboard(project.submissions) == {}
