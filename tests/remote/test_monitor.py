"""Following a session: its states, its log, lost connections."""

from types import SimpleNamespace

import pytest
import requests

from kaggle_cifar.errors import UserError
from kaggle_cifar.remote import fetch, monitor
from kaggle_cifar.report import ledger
from tests.helpers import kaggle_server
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.remote.kaggle_runs import train


def test_lost_connection_is_tried_again(played, project, capfd):
    faults = [kaggle_server.drop, kaggle_server.refuse(503), kaggle_server.refuse(429)]
    played.api_faults["GetKernelSessionStatus"] = faults
    train(project)
    assert capfd.readouterr().out.count("Trying again") == 1


def test_long_lost_connection_leaves_the_session(played, project):
    faults = [kaggle_server.drop] * 1000
    played.api_faults["GetKernelSessionStatus"] = faults
    with pytest.raises(monitor.ConnectionLostError, match="Run the same command to follow it"):
        train(project)
    faults.clear()
    assert "queued on Kaggle" in ledger.describe_runs(project)
    train(project)
    assert played.count("SaveKernel") == 1


def test_deleted_kernel_is_reported(played, project):
    train(project, detach=True)
    [slug] = played.kernels.all
    played.kernels.all.clear()
    with pytest.raises(UserError, match=r"Delete .* to start this run again") as caught:
        train(project)
    assert isinstance(caught.value.__cause__, monitor.KernelNotFoundError)
    assert caught.value.__cause__.kernel.endswith(f"/{slug}")
    assert "queued on Kaggle" in ledger.describe_runs(project)


def test_unknown_state_is_named(played, project, monkeypatch):
    train(project, detach=True)
    monkeypatch.delitem(monitor.STATES, "QUEUED")
    with pytest.raises(UserError, match="unknown state, QUEUED"):
        train(project)


@pytest.mark.parametrize(
    ("state", "shown"), [("ERROR", "failed"), ("CANCEL_ACKNOWLEDGED", "cancelled")]
)
def test_failed_session_shows_the_end_of_its_log(played, project, state, shown):
    complete = played.kernels.run

    def fail(host: KernelHost, session: Kernel) -> None:
        for number in range(100):
            session.log(f"line {number}\n")
        session.end(state)

    played.kernels.run = fail
    with pytest.raises(fetch.SessionFailedError, match="a new session starts again") as caught:
        train(project)
    assert caught.value.state == shown
    assert "line 99" in str(caught.value)
    assert "line 50" not in str(caught.value)
    assert f"{shown} on Kaggle" in ledger.describe_runs(project)
    played.kernels.run = complete
    train(project)
    assert len(played.kernels.all) == 2


@pytest.mark.parametrize("error", [requests.ConnectionError, ValueError, OSError])
def test_log_survives_a_lost_connection(error, capfd):
    def stream(kernel):
        yield {"data": "one"}
        raise error

    log = monitor.Log()
    assert monitor.show_log(SimpleNamespace(kernels_logs_stream=stream), "ada/x", log)
    assert not monitor.show_log(SimpleNamespace(kernels_logs_stream=stream), "ada/x", log)
    assert capfd.readouterr().out == "one\n"


def test_log_prints_each_line_once(capfd):
    log = monitor.Log()
    events = [{"data": "one\ntwo\n"}, {"data": None}, {"data": "three"}]
    log.show(events[:1])
    log.show(events)
    assert capfd.readouterr().out == "one\ntwo\nthree\n"
    assert list(log.lines) == ["one", "two", "three"]
