"""Atomic files and folders, locks and errors of the disk."""

import contextlib
import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from kaggle_cifar import files
from kaggle_cifar.errors import DiskFullError, UserError
from kaggle_cifar.files import NotAFolderError, ProjectPaths
from tests.helpers.archives import tree


def test_atomic_write_keeps_the_old_file_if_it_fails(tmp_path):
    files.write_text(tmp_path / "x", "old")
    with pytest.raises(KeyboardInterrupt), files.atomic_write(tmp_path / "x") as partial:
        partial.write_text("new")
        raise KeyboardInterrupt
    assert tree(tmp_path) == {"x": b"old"}


def test_free_space_is_checked_for_a_new_path(tmp_path, monkeypatch):
    usage = shutil._ntuple_diskusage(100, 70, 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    files.check_free_space(tmp_path / "new" / "file", 30)
    with pytest.raises(DiskFullError) as caught:
        files.check_free_space(tmp_path / "new" / "file", 31)
    assert caught.value.free == 30


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "No permission to write"),
        (errno.EDQUOT, "The disk is full"),
        (errno.EIO, "could not be written"),
    ],
)
def test_os_error_becomes_a_user_error(tmp_path, number, words):
    error = OSError(number, os.strerror(number))
    assert words in str(files.explain_os_error(error, tmp_path / "x"))


def test_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "x").write_text("a file")
    with pytest.raises(UserError, match="x is not a folder"), files.lock(tmp_path / "x", "test"):
        pass


@pytest.mark.parametrize("content", [None, "{", "[" * 100_000, b"\xff"])
def test_invalid_json_file_is_refused(tmp_path, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=r"x\.json is"):
        files.read_json(path)


def test_second_lock_is_refused(tmp_path):
    with (
        files.lock(tmp_path, "test"),
        pytest.raises(files.BusyError) as caught,
        files.lock(tmp_path, "test"),
    ):
        pass
    assert caught.value.path == tmp_path


def test_unused_folder_goes_with_its_lock(tmp_path):
    for name in ("empty", "used"):
        with files.lock(tmp_path / name, "test"):
            if name == "used":
                (tmp_path / name / "file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used"]


def test_lock_file_deleted_while_locking_is_not_held_twice(tmp_path, monkeypatch):
    # This happens if another process ends after we open its lock file and before we lock it.
    flock, path = fcntl.flock, tmp_path / files.LOCK_NAME

    def delete_first(descriptor, operation):
        if operation & fcntl.LOCK_EX and path.exists():
            path.unlink()
            monkeypatch.setattr(fcntl, "flock", flock)
        return flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with (
        contextlib.suppress(files.BusyError),
        files.lock(tmp_path, "test"),
        path.open() as file,
        pytest.raises(BlockingIOError),
    ):
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("folders", "command"),
    [
        ({}, "kaggle-cifar predict 'my run'"),
        ({"data": Path("d")}, "kaggle-cifar --data-dir d predict 'my run'"),
        (
            {"runs": Path("a b"), "submissions": Path("s")},
            "kaggle-cifar --runs-dir 'a b' --submissions-dir s predict 'my run'",
        ),
    ],
)
def test_command_names_the_folders_in_force(folders, command):
    assert ProjectPaths(**folders).command("predict", "my run") == command


def test_folder_may_be_missing_but_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "new"):
        assert files.require_folder_path(path) == path
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe"):
        with pytest.raises(NotAFolderError) as caught:
            files.require_folder_path(tmp_path / name)
        assert caught.value.path == tmp_path / name


def test_write_error_names_the_path_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UserError) as caught:
        files.write_text(Path("file/new.txt"), "text")
    assert str(tmp_path) not in str(caught.value)
