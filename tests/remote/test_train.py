"""Training on Kaggle from the command to the run: real sessions, kills, refusals."""

import dataclasses
import json
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kaggle_cifar.competition import SAMPLE_SUBMISSION, SLUG, TRAIN_LABELS
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.prediction.predict import predict
from kaggle_cifar.recipes import Recipe, change_recipe
from kaggle_cifar.remote import accept, fetch, push, sessions
from kaggle_cifar.remote import train as remote_train
from kaggle_cifar.remote.accelerators import UnusableAcceleratorError
from kaggle_cifar.report import ledger
from kaggle_cifar.submission.submit import submit
from kaggle_cifar.submission.write import write_submission
from kaggle_cifar.training.options import RunOptions
from tests.helpers.kaggle_kernels import Kernel
from tests.helpers.own_network import CODE, LINES, write_network
from tests.helpers.simulated_kills import Killed
from tests.remote.kaggle_runs import (
    RECIPE,
    assert_same,
    assert_weights_equal,
    needs_7z,
    train,
)


def predict_and_submit(project: ProjectPaths, run) -> str:
    """Return the state of the submission of a run that was predicted on Kaggle."""
    ids, probabilities = predict(project, [run])  # no test image is on this machine
    csv = project.submissions / "model1.csv"
    write_submission(csv, ids, probabilities.argmax(axis=1), ["model1"])
    return submit(csv, project, "from Kaggle", 60)["status"]


@pytest.mark.slow
@needs_7z
def test_stopped_session_resumes_up_to_a_score(site, project, local, capfd):
    def stop_first(session: Kernel, line: str, process: subprocess.Popen) -> None:
        if len(site.kernels.all) == 1 and line.startswith("Epoch 1/4"):
            process.send_signal(signal.SIGTERM)

    site.kernels.watch, site.kernels.cut_stream = stop_first, 2
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    run = train(project, predict=True)
    output = capfd.readouterr().out
    first, second = site.kernels.all.values()
    for words in ("model1 on Kaggle: running.", "Extracting train.7z", "GPU"):
        assert output.count(words) == 2
    assert "Session 1 of model1 was stopped at epoch" in output
    assert "trained on Kaggle in 2 sessions" in output
    assert output.count("Epoch 1/4  loss") == output.count("Epoch 4/4  loss") == 1
    assert_same(run, local[1])
    assert first.request.is_private
    assert first.request.enable_gpu
    assert first.request.machine_shape == "NvidiaTeslaT4"
    assert first.request.competition_data_sources == [SLUG]
    assert second.request.kernel_data_sources == [first.request.slug]
    assert json.loads((run.folder / "environment.json").read_text())["packages"]["kaggle-cifar"]
    assert second.slug in json.loads((run.folder / "remote.json").read_text())["kernel"]
    assert not (project.runs / ".kaggle-cifar.remote" / "model1").exists()

    assert predict_and_submit(project, run) == "COMPLETE"
    assert train(project) == run
    assert len(site.kernels.all) == 2


def own_recipe(folder: Path, code: str = CODE) -> Recipe:
    """Return a recipe with a network of the user's own, named by its file."""
    path = write_network(folder, code)
    return change_recipe(dataclasses.replace(RECIPE, epochs=2), [f"network={path}"])


@pytest.mark.slow
def test_own_network_trains_and_predicts_on_kaggle(site, project, local, tmp_path):
    """The competition is mounted as images, in a folder that only kagglehub knows."""

    def mount(inputs: Path) -> None:
        mounted = tmp_path / "elsewhere"
        mounted.mkdir()
        for split in ("train", "test"):
            (mounted / split).symlink_to(local[0].images(split))
        for name in (TRAIN_LABELS, SAMPLE_SUBMISSION):
            (mounted / name).symlink_to(local[0].raw / name)

    site.kernels.mount = mount
    code = f"def competition_download(handle):\n    return {str(tmp_path / 'elsewhere')!r}\n"
    site.kernels.modules["kagglehub"] = code
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    recipe = own_recipe(tmp_path / "networks")
    run = train(project, recipe, predict=True, tta=True)
    assert run.read_recipe()[0] == recipe
    assert run.read_recipe()[0].network_source == LINES
    assert run.load_model().count_params() == 48 * 8 + 8 + 8 * 10 + 10
    assert not project.images("test").exists()
    ids, plain = predict(project, [run])
    assert list(ids) == list(range(1, 111))
    ids, with_tta = predict(project, [run], "tta")
    assert list(ids) == list(range(1, 111))
    assert np.abs(plain - with_tta).max() > 0


@pytest.mark.parametrize("statement", ["import my_layers.a", "from .my_layers import a"])
def test_own_network_that_imports_local_modules_is_refused(
    played, project, tmp_path, monkeypatch, statement
):
    (tmp_path / "my_layers.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="my_layers, a local module"):
        train(project, own_recipe(tmp_path, f"import math, keras\n{statement}\n{CODE}"))
    assert not played.requests


def test_session_without_the_data_fails_with_the_reason(site, project):
    site.kernels.mount = lambda inputs: (inputs / "other").mkdir()
    with pytest.raises(fetch.SessionFailedError, match="Accept the rules at"):
        train(project)


def test_session_without_progress_is_not_repeated(site, project, monkeypatch):
    monkeypatch.setattr(push, "SESSION_SECONDS", push.STOP_EARLY + 0.2)
    with pytest.raises(fetch.SessionFailedError) as caught:
        train(project)
    assert caught.value.state == "stopped"
    assert len(site.kernels.all) == 1


def test_detached_run_is_followed_later(played, project):
    train(project, detach=True)
    assert not (project.runs / "model1").exists()
    for state in ("queued", "running"):
        played.kernels.run = lambda host, session: None
        assert f"{state} on Kaggle" in ledger.describe_runs(project)
    with pytest.raises(remote_train.TrainedElsewhereError):
        remote_train.check_remote(project, "model1")
    with pytest.raises(UserError, match="other settings"):
        train(project, options=RunOptions(seed=4))
    [session] = played.kernels.all.values()
    session.end("ERROR", "Something broke")
    with pytest.raises(fetch.SessionFailedError, match="failed: Something broke"):
        train(project)


def kill(*_: object) -> None:
    raise Killed


@pytest.mark.kill
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (push, "push"),
        (remote_train, "follow"),
        (fetch, "download_files"),
        (accept, "check_run"),
        (accept, "sync"),
        (accept, "remove_session"),
    ],
)
def test_killed_command_resumes(played, project, local, monkeypatch, module, name):
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(module, name, kill)
        train(project)
    assert_weights_equal(train(project), local[1])
    assert len(played.kernels.all) == 1
    assert not (project.runs / ".kaggle-cifar.remote" / "model1").exists()


def test_users_files_next_to_a_session_are_kept(played, project, local):
    train(project, detach=True)
    remote = sessions.remote_run(project, "model1")
    mine = [remote.folder / name for name in ("notes.txt", "output/mine", "kernel/mine")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert_weights_equal(train(project), local[1])
    assert [path.read_text() for path in mine] == ["mine"] * 3
    left = {path for path in remote.folder.iterdir() if path.name != ".kaggle-cifar.lock"}
    assert left == {remote.folder / name for name in ("notes.txt", "output", "kernel")}


def test_foreign_session_file_is_kept(played, project):
    file = sessions.session_file(sessions.remote_run(project, "model1"))
    file.parent.mkdir(parents=True)
    file.write_text('{"mine": 1}')
    with pytest.raises(ForeignPathError) as error:
        train(project)
    assert error.value.path == file
    assert file.read_text() == '{"mine": 1}'
    assert not played.requests


def test_damaged_session_file_is_named(played, project):
    train(project, detach=True)
    file = sessions.session_file(sessions.remote_run(project, "model1"))
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "number": "one"}))
    with pytest.raises(UserError) as caught:
        train(project)
    assert str(file) in str(caught.value)


def test_run_started_here_is_refused(played, project, local):
    shutil.copytree(local[1].folder, project.runs / "model1")
    (project.runs / "model1" / "metrics.json").unlink()
    with pytest.raises(remote_train.TrainedElsewhereError):
        train(project)
    assert not played.requests


def test_without_credentials_nothing_is_started(clean_home, project):
    with pytest.raises(UserError, match="No Kaggle credentials"):
        train(project)
    assert not list(project.runs.glob(".kaggle-cifar.remote/*"))


def test_recipe_with_a_local_file_is_not_sent(played, project, tmp_path):
    options = {"filters": {"from": str(tmp_path / "filters.npy")}}
    with pytest.raises(UserError, match=r"network_options\.filters\.from is the local file"):
        train(project, dataclasses.replace(RECIPE, network_options=options))
    assert not played.requests


@pytest.mark.parametrize(
    "name", ["NvidiaTeslaP100", "nvidiateslap100", "TpuV38", "TpuV5E8", "NvidiaRtxPro6000"]
)
def test_accelerators_of_no_use_are_not_sent(played, project, name):
    with pytest.raises(UnusableAcceleratorError, match="NvidiaTeslaT4") as caught:
        train(project, accelerator=name)
    assert caught.value.name == name
    assert played.count("SaveKernel") == 0


def test_kaggle_decides_about_other_accelerators(played, project):
    """It has no list of them, so its refusal is shown."""
    played.kernels.refusal = {"error": "The machine shape NvidiaTeslaT5 is unknown"}
    with pytest.raises(push.PushRefusedError, match="machine shape NvidiaTeslaT5 is unknown"):
        train(project, accelerator="NvidiaTeslaT5")
    run = train(project, accelerator="NvidiaNewest")
    [session] = played.kernels.all.values()
    assert session.request.machine_shape == "NvidiaNewest"
    assert json.loads((run.folder / "remote.json").read_text())["accelerator"] == "NvidiaNewest"


@pytest.mark.parametrize(
    ("sent", "asked", "option"),
    [
        ({}, {"predict": True}, "--predict"),
        ({"predict": True}, {"predict": True, "tta": True}, "--tta"),
    ],
)
def test_session_that_predicts_less_than_asked_is_named(
    played, project, local, capfd, sent, asked, option
):
    project.raw.mkdir(parents=True)
    shutil.copy(local[0].raw / SAMPLE_SUBMISSION, project.raw)
    train(project, detach=True, **sent)
    train(project, **asked)
    assert f"model1 was sent without {option}." in capfd.readouterr().out


def test_refresh_skips_states_that_are_final(played, project, monkeypatch):
    train(project, detach=True)
    monkeypatch.setattr(remote_train, "poll", lambda *_: ("failed", ""))
    [(run, session)] = remote_train.remote_sessions(project)
    assert (run.name, session.state) == ("model1", "failed")
    sessions.save_session(run, session)
    monkeypatch.setattr(remote_train, "open_client", lambda: pytest.fail("nothing to ask"))
    assert remote_train.remote_sessions(project) == [(run, session)]
