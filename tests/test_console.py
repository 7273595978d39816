"""Live tables, progress bars and printable text."""

import io
import os
import sys

import pytest

from kaggle_cifar import console
from kaggle_cifar.console import LiveTable


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    times = iter(range(0, 10_000, 100))  # each call is long after the last
    monkeypatch.setattr(console.time, "monotonic", lambda: next(times))


def test_live_table_is_redrawn_on_a_terminal(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda: os.terminal_size((5, 24)))
    live = LiveTable()
    live.show(lambda: "one\ntwo and more")
    live.show(lambda: "three")
    live.say("a line")
    live.show(lambda: "four")
    up_two, up_one = "\x1b[2F\x1b[J", "\x1b[1F\x1b[J"
    assert terminal.getvalue() == f"one\ntwo a\n{up_two}three\n{up_one}a line\nfour\n"


def test_live_table_is_printed_again_in_a_log(clock, capsys):
    live = LiveTable()
    live.show(lambda: "one\ntwo")
    live.say("a line")
    live.show(lambda: "three")
    assert capsys.readouterr().out == "one\ntwo\n\na line\nthree\n\n"


def test_live_table_waits_between_two_tables(monkeypatch, capsys):
    monkeypatch.setattr(console.time, "monotonic", lambda: 7.0)
    LiveTable().show(lambda: "one")
    assert not capsys.readouterr().out


HOSTILE = ("\x1b", "\r", "\x07", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028")


@pytest.mark.parametrize("character", [*HOSTILE, "\ufeff", "\U000e0041", "\udcff"])
def test_say_escapes_control_characters(capsys, character):
    console.say(f"a{character}b")
    assert capsys.readouterr().out == f"a{ascii(character)[1:-1]}b\n"


@pytest.mark.parametrize("text", ["Läufe …", "שלום", "سلام", "画像", "a\u00a0b", "a\n\tb", "\\x1b"])
def test_say_keeps_letters_of_every_language(capsys, text):
    console.say(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_bar_escapes_lines_above_it(monkeypatch, capsys):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True)
    with console.progress_bar("Reading", 2, "files") as bar:
        bar.write("a\x1bb")
    assert "a\\x1bb" in capsys.readouterr().out


def test_live_table_is_cropped_after_escaping(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda: os.terminal_size((6, 24)))
    LiveTable().show(lambda: "\x1bone two")
    assert terminal.getvalue() == "\\x1bon\n"


def test_progress_is_plain_lines_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(console, "LOG_INTERVAL", 0.0)
    with console.progress_bar("Reading", 2048, "B", initial=1024) as bar:
        bar.write("a line")
        bar.update(1024)
    printed = capsys.readouterr()
    assert printed.out == "a line\n"
    assert "\r" not in printed.err
    assert "\nReading: 100%" in printed.err


def test_say_error_escapes_and_prints_to_stderr(capsys):
    console.say_error("a\x1bb")
    assert capsys.readouterr() == ("", "a\\x1bb\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41.6, "42 s"), (185, "3 min 5 s"), (7620, "2 h 7 min"), (59.7, "1 min 0 s")],
)
def test_duration_is_rounded(seconds, text):
    assert console.duration(seconds) == text


def test_table_aligns_its_columns():
    assert console.table(("a", "b"), [("long", ""), ("x", "yy")]) == "a     b\nlong\nx     yy"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 epochs"),
        (1, "1 epoch"),
        (2.5, "2.5 epochs"),
        (3000, "3,000 epochs"),
    ],
)
def test_counted_noun_has_the_right_number(count, words):
    assert console.counted(count, "epoch") == words


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_enumeration_ends_with_and(words, text):
    assert console.enumerated(words) == text
