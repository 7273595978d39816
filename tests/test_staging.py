"""Folders that are replaced as a whole."""

import errno
import os
from pathlib import Path

import pytest

from kaggle_cifar.errors import DiskFullError, UserError
from kaggle_cifar.staging import staged_folder
from tests.helpers.archives import tree


def test_staged_folder_replaces_the_old_one(tmp_path):
    for content in (b"old", b"new"):
        with staged_folder(tmp_path / "x") as staging:
            (staging / "file").write_bytes(content)
    assert tree(tmp_path) == {"x": None, "x/file": b"new"}


def test_staged_folder_keeps_the_old_one_if_it_fails(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "x") as staging:
        (staging / "file").write_text("new")
        raise KeyboardInterrupt
    assert tree(tmp_path) == {"x": None}


def test_staged_folder_removes_what_a_kill_left(tmp_path):
    for purpose in ("partial", "old"):
        (tmp_path / f".kaggle-cifar.x.{purpose}" / "inner").mkdir(parents=True)
    with staged_folder(tmp_path / "x") as staging:
        assert list(staging.iterdir()) == []
    assert tree(tmp_path) == {"x": None}


def test_staged_folder_reports_a_full_disk(tmp_path):
    with pytest.raises(DiskFullError) as caught, staged_folder(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.path == tmp_path / "x"
    assert tree(tmp_path) == {}


def test_staged_folder_replaces_what_a_link_leads_to(tmp_path, monkeypatch):
    (tmp_path / "disk" / "old").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/old")
    monkeypatch.chdir(tmp_path)
    with staged_folder(Path("link")) as staging:
        (staging / "file").write_bytes(b"new")
    assert tree(tmp_path / "disk") == {"old": None, "old/file": b"new"}
    assert (tmp_path / "link").is_symlink()


def test_staged_folder_names_the_path_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught, staged_folder(Path("x")):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert str(caught.value).startswith("x could not be written")
