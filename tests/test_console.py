"""The table that changes while trainings run: drawn over itself, or printed now and then."""

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
    times = iter(range(0, 10_000, 100))  # whatever is asked, it is time to show the table
    monkeypatch.setattr(console.time, "monotonic", lambda: next(times))


def test_on_a_terminal_the_table_is_drawn_over_itself(monkeypatch, clock):
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


def test_in_a_log_it_is_printed_anew(clock, capsys):
    live = LiveTable()
    live.show(lambda: "one\ntwo")
    live.say("a line")
    live.show(lambda: "three")
    assert capsys.readouterr().out == "one\ntwo\n\na line\nthree\n\n"


def test_it_is_shown_no_more_often_than_one_can_read(monkeypatch, capsys):
    monkeypatch.setattr(console.time, "monotonic", lambda: 7.0)
    LiveTable().show(lambda: "one")
    assert not capsys.readouterr().out


HOSTILE = ("\x1b", "\r", "\x07", "\x00", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u2028")


@pytest.mark.parametrize("character", [*HOSTILE, "\ufeff", "\U000e0041", "\udcff"])
def test_say_escapes_what_a_terminal_obeys_or_hides(capsys, character):
    console.say(f"a{character}b")
    assert capsys.readouterr().out == f"a{ascii(character)[1:-1]}b\n"


@pytest.mark.parametrize("text", ["Läufe …", "שלום", "سلام", "画像", "a\u00a0b", "a\n\tb", "\\x1b"])
def test_say_keeps_the_letters_of_every_language(capsys, text):
    console.say(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_a_line_above_a_bar_is_escaped(monkeypatch, capsys):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True)
    with console.progress_bar("Reading", 2, "files") as bar:
        bar.write("a\x1bb")
    assert "a\\x1bb" in capsys.readouterr().out


def test_a_table_is_cut_after_it_is_escaped(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(console.shutil, "get_terminal_size", lambda: os.terminal_size((6, 24)))
    LiveTable().show(lambda: "\x1bone two")
    assert terminal.getvalue() == "\\x1bon\n"
