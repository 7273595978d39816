"""Signals during a training."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from kaggle_cifar.training.signals import watch_signals


def test_first_signal_is_recorded_and_second_interrupts(capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with watch_signals() as stop_signal:
        assert stop_signal() is None
        signal.raise_signal(signal.SIGTERM)
        assert stop_signal() == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err == "Stopping: saving the state …\n"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_watch_no_signals():
    def watch():
        with watch_signals() as stop_signal:
            return stop_signal()

    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(watch).result() is None
