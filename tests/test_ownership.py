import contextlib
import fcntl
import os
import socket

import pytest

from kaggle_cifar import ownership, storage
from kaggle_cifar.ownership import ForeignPathError


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_circle(path):
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_circle, os.mkdir])
def test_writing_to_what_is_not_a_regular_file_is_refused(tmp_path, make):
    path = tmp_path / "x"
    make(path)
    mode = path.lstat().st_mode
    with pytest.raises(ForeignPathError) as caught:
        storage.write_text(path, "text")
    assert caught.value.path == path
    assert path.lstat().st_mode == mode


def test_writing_to_a_device_is_refused():
    with pytest.raises(ForeignPathError, match="/dev/null is a device"):
        storage.write_text(ownership.Path("/dev/null"), "text")


def test_writing_through_a_link_changes_what_it_leads_to(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "file"
    link.symlink_to(target)
    for text in ("new", "changed"):
        storage.write_text(link, text)
        assert link.is_symlink()
        assert target.read_text() == text


def test_a_partial_path_that_leads_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    storage.partial_path(tmp_path / "x").symlink_to(tmp_path / "mine")
    storage.write_text(tmp_path / "x", "text")
    assert (tmp_path / "mine").read_text() == "mine"


def test_only_reserved_names_are_removed(tmp_path):
    with pytest.raises(ValueError, match="reserved"):
        ownership.remove_reserved(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kaggle-cifar": "other"}', "\0", "[" * 100_000, "1" * 5000]
)
def test_what_is_no_record_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ForeignPathError):
        storage.write_record(path, "submission", {"a": 1})
    assert path.read_text() == content


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "x.json"
    assert ownership.read_record(path, "submission") == {}
    for values in ({"a": 1}, {"b": [2]}):
        storage.write_record(path, "submission", values)
        assert ownership.read_record(path, "submission") == values


def test_a_folder_may_be_replaced_only_as_it_was_marked(tmp_path):
    folder = tmp_path / "export"
    ownership.require_only_own_content(folder, "export")  # new
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("ours")
    with pytest.raises(ForeignPathError, match="inner"):
        ownership.require_only_own_content(folder, "export")
    ownership.mark_folder(folder, "export")
    ownership.require_only_own_content(folder, "export")
    with pytest.raises(ForeignPathError):
        ownership.require_only_own_content(folder, "inspection")
    for spoil in (
        lambda: (folder / "inner" / "mine").write_text("mine"),
        lambda: (folder / "link").symlink_to("inner"),
        lambda: (folder / "empty").mkdir(),
        lambda: (folder / "inner" / "file").write_text("edited"),
    ):
        spoil()
        with pytest.raises(ForeignPathError):
            ownership.require_only_own_content(folder, "export")
        ownership.mark_folder(folder, "export")


def test_a_lock_deleted_while_it_is_taken_is_not_held_twice(tmp_path, monkeypatch):
    # As when another process ends between our opening of its lock and our locking of it.
    flock, path = fcntl.flock, tmp_path / storage.LOCK_NAME

    def delete_first(descriptor, operation):
        if operation & fcntl.LOCK_EX and path.exists():
            path.unlink()
            monkeypatch.setattr(fcntl, "flock", flock)
        return flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with (
        contextlib.suppress(storage.BusyError),
        storage.lock(tmp_path, "test"),
        path.open() as file,
        pytest.raises(BlockingIOError),
    ):
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
