"""The program that runs on Kaggle: packages, data, resumed runs."""

import json
import subprocess
import sys

import pytest

from kaggle_cifar.competition import SLUG, TRAIN_LABELS
from kaggle_cifar.data.mounted import MOUNTS
from kaggle_cifar.errors import UserError
from kaggle_cifar.remote import worker
from kaggle_cifar.training.signals import Interrupted
from tests.helpers import ROOT
from tests.remote.kaggle_runs import needs_7z

JOB = worker.Job("model1", {}, {}, views=[], resume=False, seconds=60.0)


@pytest.mark.parametrize(
    ("status", "state", "returned"),
    [(0, "finished", 0), (worker.STOPPED, "stopped", 0), (-15, "stopped", 0), (1, "failed", 1)],
)
def test_worker_lists_the_files_of_its_run(tmp_path, monkeypatch, status, state, returned):
    for folder in ("input", "working/model1", "src"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "working" / "model1" / "run.json").write_text("{}")
    (tmp_path / "working" / "model1" / ".hidden").touch()
    monkeypatch.chdir(tmp_path / "src")
    monkeypatch.setattr(worker, "run_session", lambda job: status)
    monkeypatch.setattr(worker, "install_missing", lambda inputs: None)
    assert worker.main(JOB) == returned
    listing = json.loads((tmp_path / "working" / worker.LISTING).read_text())
    assert listing["state"] == state
    assert list(listing["files"]) == ["model1/run.json"]


@pytest.mark.parametrize(
    ("error", "status"), [(None, 0), (UserError("No data."), 1), (Interrupted(15), worker.STOPPED)]
)
def test_session_turns_errors_into_a_status(monkeypatch, capfd, error, status):
    def train_there(*_):
        if error:
            raise error

    monkeypatch.setattr(worker, "train_there", train_there)
    assert worker.session(JOB) == status
    assert ("Error: No data." in capfd.readouterr().out) == (status == 1)


@pytest.mark.parametrize("status", [0, 1])
def test_missing_package_can_import_or_named(tmp_path, monkeypatch, capfd, status):
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, status)

    (tmp_path / SLUG).mkdir()
    (tmp_path / SLUG / "train.7z").touch()
    monkeypatch.setattr(worker.shutil, "which", lambda name: None)
    monkeypatch.setattr(worker, "can_import", lambda name: name not in ("psutil", "py7zr"))
    monkeypatch.setattr(worker.subprocess, "run", run)
    if status:
        with pytest.raises(SystemExit, match="psutil could not be installed"):
            worker.install_missing(tmp_path)
        return
    worker.install_missing(tmp_path)
    assert [command[-1] for command in commands] == ["psutil", "py7zr"]
    assert "Installing py7zr." in capfd.readouterr().out


def test_worker_imports_only_the_standard_library():
    """Before packages are installed; `main` imports nothing else."""
    code = (
        "import sys\n"
        "from kaggle_cifar.remote import worker\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*names - {'kaggle_cifar', '__main__'} - sys.stdlib_module_names)"
    )
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.slow
def test_training_imports_no_package_that_kaggle_lacks():
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['']\n"
        "from kaggle_cifar.training import train\n"
        "from kaggle_cifar.prediction import predict\n"
        "from kaggle_cifar.data import extract\n"
        "found = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*found & {'click', 'py7zr', 'kaggle', 'kagglesdk', 'jinja2', 'six', 'requests'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_archives_are_extracted_without_7z(project, local, monkeypatch, tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / SLUG).symlink_to(local[0].raw)
    monkeypatch.setattr(worker.shutil, "which", lambda name: None)
    worker.place_data(tmp_path / "input", project, ["train"])
    assert project.manifest("train").read_bytes() == local[0].manifest("train").read_bytes()


@pytest.mark.parametrize("nested", [False, True])
def test_mounted_images_are_linked(project, local, tmp_path, nested):
    mounted = tmp_path / "input" / "competitions" / SLUG
    folder = mounted / "train" / "train" if nested else mounted / "train"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(local[0].images("train"))
    (mounted / TRAIN_LABELS).symlink_to(local[0].raw / TRAIN_LABELS)
    worker.place_data(tmp_path / "input", project, ["train"])
    assert project.images("train").resolve() == local[0].images("train")
    assert (project.raw / TRAIN_LABELS).exists()
    assert project.manifest("train").read_bytes() == local[0].manifest("train").read_bytes()


def test_missing_images_are_an_error(project, tmp_path):
    with pytest.raises(UserError, match=r"neither train\.7z nor images"):
        worker.place_images(tmp_path, project, "train")


@needs_7z
def test_corrupt_archive_is_an_error(project, tmp_path):
    (tmp_path / "train.7z").write_bytes(b"7z\xbc\xaf\x27\x1c broken")
    with pytest.raises(UserError, match=r"train\.7z could not be extracted"):
        worker.place_images(tmp_path, project, "train")


def test_missing_previous_session_is_an_error(tmp_path):
    (tmp_path / "input").mkdir()
    with pytest.raises(UserError, match="previous session"):
        worker.resume(tmp_path, "model1")


@pytest.mark.parametrize("mount", MOUNTS)
def test_run_named_like_the_competition_resumes(tmp_path, mount):
    inputs = tmp_path / "input"
    (inputs / mount / SLUG).mkdir(parents=True)
    (inputs / mount / SLUG / "run.json").write_text("of the competition")
    output = inputs / "notebooks" / "ada" / "kaggle-cifar-cifar-10-0123" / SLUG
    output.mkdir(parents=True)
    (output / "run.json").write_text("of the run")
    worker.resume(tmp_path, SLUG)
    assert (tmp_path / "working" / SLUG / "run.json").read_text() == "of the run"
