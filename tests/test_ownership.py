import os
import socket
from pathlib import Path

import pytest

from kaggle_cifar import files, ownership
from kaggle_cifar.ownership import ForeignPathError


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_loop(path):
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_loop, os.mkdir])
def test_write_to_other_than_regular_file_is_refused(tmp_path, make):
    path = tmp_path / "x"
    make(path)
    mode = path.lstat().st_mode
    with pytest.raises(ForeignPathError) as caught:
        files.write_text(path, "text")
    assert caught.value.path == path
    assert path.lstat().st_mode == mode


def test_write_to_device_is_refused():
    with pytest.raises(ForeignPathError, match="is a device"):
        files.write_text(Path("/dev/null"), "text")


def test_write_through_link_changes_its_target(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link", tmp_path / "elsewhere" / "file"
    link.symlink_to(target)
    for text in ("new", "changed"):
        files.write_text(link, text)
        assert link.is_symlink()
        assert target.read_text() == text


def test_link_at_partial_path_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    files.partial_path(tmp_path / "x").symlink_to(tmp_path / "mine")
    files.write_text(tmp_path / "x", "text")
    assert (tmp_path / "mine").read_text() == "mine"


def test_remove_reserved_refuses_other_names(tmp_path):
    with pytest.raises(ValueError, match="reserved"):
        ownership.remove_reserved(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kaggle-cifar": "other"}', "\0", "[" * 100_000, "1" * 5000]
)
def test_invalid_record_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ForeignPathError):
        files.write_record(path, "submission", {"a": 1})
    assert path.read_text() == content


def test_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "x.json"
    assert ownership.read_record(path, "submission") == {}
    for values in ({"a": 1}, {"b": [2]}):
        files.write_record(path, "submission", values)
        assert ownership.read_record(path, "submission") == values


def test_folder_may_be_replaced_only_as_it_was_marked(tmp_path):
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
