from pathlib import Path
from typing import Any

import pytest

from kaggle_cifar import files
from kaggle_cifar.submission.record import (
    InvalidRecordError,
    State,
    all_entries,
    change_state,
    read_record,
)
from kaggle_cifar.submission.sent import forget_sent, note_sent, read_sent, sent_file


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
def test_an_invalid_value_of_a_record_is_named(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "s.csv"
    files.write_record(tmp_path / "s.json", "submission", {"sha256": "", key: value})
    with pytest.raises(InvalidRecordError) as caught:
        read_record(path)
    assert caught.value.path == tmp_path / "s.json"
    assert caught.value.key == ("ref" if value == [{"ref": []}] else key)


def test_a_state_follows_only_some_states(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    with pytest.raises(ValueError, match="COMPLETE cannot follow WRITTEN"):
        change_state(path, State.COMPLETE)
    for state in (State.SENDING, State.UNKNOWN, State.PENDING, State.COMPLETE):
        change_state(path, state)
    with pytest.raises(ValueError, match="SENDING cannot follow COMPLETE"):
        change_state(path, State.SENDING)


def test_all_entries_name_their_csv_and_unreadable_records(tmp_path: Path) -> None:
    files.write_record(tmp_path / "a.json", "submission", {"ref": 2, "earlier": [{"ref": 1}]})
    files.write_record(tmp_path / "b.json", "submission", {"ref": "none"})
    (tmp_path / "c.csv").write_text("foreign")
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "d.json").write_text("{}")
    entries, problems = all_entries(tmp_path)
    assert entries == [{"file": "a.csv", "ref": 1}, {"file": "a.csv", "ref": 2}]
    assert ["b.json" in problems[0], "c.json" in problems[1]] == [True, True]
    assert len(problems) == 2


def test_a_damaged_note_still_shows_that_a_content_was_sent(tmp_path: Path) -> None:
    note_sent(tmp_path, "digest", tmp_path / "a.csv", "token")
    forget_sent(tmp_path, "digest", "another")
    assert read_sent(tmp_path, "digest") == {"file": "a.csv", "token": "token"}
    path = sent_file(tmp_path, "digest")
    path.write_text("{}")
    assert read_sent(tmp_path, "digest") == {"file": str(path)}
