"""Functions that run on a Ray cluster, some of which fail or die."""

import os
import signal
from pathlib import Path

import pytest

from kaggle_cifar.files import BusyError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.search import tasks
from kaggle_cifar.search.cluster import require_ray, start_ray


def die_once(marker: Path) -> None:
    if not marker.exists():
        marker.touch()
        die(marker)


def die(marker: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(marker: Path) -> None:
    raise ForeignPathError(marker, "a message")  # which does not survive pickling


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.kill
def test_tasks_that_die_start_again(two_nodes, tmp_path):
    import ray

    require_ray()
    start_ray(two_nodes.address)
    notes = []
    try:
        marker = tmp_path / "marker"
        jobs = {
            "once": (die_once, (marker,)),
            "always": (die, (marker,)),
            "never": (fail, (marker,)),
        }
        with pytest.raises(tasks.TasksFailedError) as caught:
            tasks.run_tasks(jobs, {"CPU": 1, "GPU": 0}, lambda: None, notes.append)
    finally:
        ray.shutdown()
    assert marker.exists()
    assert sorted(note.split()[0] for note in notes) == ["always"] * 3 + ["once"]
    assert "try 2 of 4" in notes[0]
    failures = sorted(caught.value.failures)
    assert failures[0] == "a message"
    assert failures[1].startswith("always died 4 times: ")
    assert len(failures) == 2


@pytest.mark.parametrize("seconds", [0, 100])
def test_busy_function_is_tried_again_for_a_while(monkeypatch, seconds):
    monkeypatch.setattr(tasks, "BUSY_SECONDS", seconds)
    monkeypatch.setattr(tasks.time, "sleep", lambda _: None)
    results = iter([BusyError(Path("held"), "search"), "done"])

    def begin():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    if seconds:
        assert tasks.retry_while_busy(begin) == "done"
    else:
        with pytest.raises(BusyError):
            tasks.retry_while_busy(begin)
