"""The table that changes while trainings run: drawn over itself, or printed now and then."""

import io
import os
import sys

import pytest

from kaggle_cifar import progress
from kaggle_cifar.progress import LiveTable


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    times = iter(range(0, 10_000, 100))  # whatever is asked, it is time to show the table
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))


def test_on_a_terminal_the_table_is_drawn_over_itself(monkeypatch, clock):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((5, 24)))
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
    monkeypatch.setattr(progress.time, "monotonic", lambda: 7.0)
    LiveTable().show(lambda: "one")
    assert not capsys.readouterr().out
