"""Downloading the output of a session: complete, or not at all."""

import errno
import json
from types import SimpleNamespace

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.remote import fetch, worker
from kaggle_cifar.remote.sessions import Session, output_folder, remote_run
from kaggle_cifar.training.run import Run
from tests.helpers import kaggle_server
from tests.helpers.kaggle_kernels import Kernel, KernelHost
from tests.remote.kaggle_runs import assert_weights_equal, leave_run, train


def whole(handler: kaggle_server.Handler) -> None:
    """Send the file as asked."""
    handler.answer_file()


@pytest.mark.parametrize(
    "faults",
    [
        [kaggle_server.cut_at(10_000), kaggle_server.wrong_bytes, kaggle_server.refuse(503)],
        [kaggle_server.compress] * 100,
    ],
    ids=["damaged", "compressed"],
)
def test_output_survives_bad_transfers(played, project, local, faults):
    # Each file is asked for twice, the list first. The faults hit the second request.
    faults = [fault for pair in zip([whole] * 100, faults, strict=False) for fault in pair]
    played.get_faults = [whole, whole, *faults]
    assert_weights_equal(train(project), local[1])


def test_damaged_output_is_refused(played, project, local):
    name = "model1/model.weights.h5"

    def damage(host: KernelHost, session: Kernel) -> None:
        leave_run(local[1], session)
        session.files[name] = session.files[name][:5000]
        session.end()

    played.kernels.run = damage
    with pytest.raises(fetch.DamagedOutputError, match=name):
        train(project)
    assert not (project.runs / "model1").exists()
    [session] = played.kernels.all.values()
    leave_run(local[1], session)
    train(project)
    assert len(played.kernels.all) == 1


@pytest.mark.parametrize("name", ["model1/../../evil", "other/run.json", "model1\\evil", ""])
def test_listing_outside_the_run_is_refused(played, project, name):
    def escape(host: KernelHost, session: Kernel) -> None:
        listing = {"state": "finished", "files": {name: "0"}}
        session.files = {worker.LISTING: json.dumps(listing).encode()}
        session.end()

    played.kernels.run = escape
    with pytest.raises(fetch.DamagedOutputError, match=worker.LISTING):
        train(project)


@pytest.mark.parametrize(
    ("progress", "text"),
    [([0, 2, 0, 0], "at epoch 3, step 1"), ([1, 0, 0, 4], "after the last epoch")],
)
def test_progress_is_printed(progress, text):
    assert fetch.progress_text(progress) == text


def test_progress_grows_with_each_prediction(tmp_path):
    run = Run(tmp_path / "model1")
    parts = run.folder / "test_probabilities.parts"
    parts.mkdir(parents=True)
    run.metrics_file.touch()
    (parts / "0.npy").touch()
    first = fetch.progress_of(run)
    (parts / "0.npy").rename(run.probabilities_file("test", "plain"))
    assert first < fetch.progress_of(run)


def failing_api(error: Exception) -> SimpleNamespace:
    def kernels_output(*_):
        raise error

    return SimpleNamespace(kernels_output=kernels_output)


def test_full_disk_is_named(clean_home, tmp_path):
    api = failing_api(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(UserError, match="disk is full"):
        fetch.download_files(api, "ada/kernel", tmp_path, ["model1/run.json"])


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_session_without_output_keeps_its_state(clean_home, project, state, capfd):
    remote = remote_run(project, "model1")
    output_folder(remote).mkdir(parents=True)
    session = Session("ada/kernel", "NvidiaTeslaT4", False, state=state)
    assert fetch.salvage(failing_api(ValueError("no output")), remote, session) == state
    assert not output_folder(remote).exists()
    assert "Downloading the output of ada/kernel" in capfd.readouterr().out
