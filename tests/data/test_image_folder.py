import hashlib
import json
import os

import pytest

from kaggle_cifar.data import image_folder
from kaggle_cifar.data.archive import identity
from kaggle_cifar.data.image_folder import ManifestMissingError
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.ownership import ForeignPathError
from tests.helpers.archives import images, pack, tree

IDS = range(1, 5)
OLD = {f"{i}.png": b"%02d" % i for i in IDS}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "data").mkdir()
    return ProjectPaths(tmp_path / "data")


@pytest.fixture
def folder(project):
    return project.images("train")


@pytest.fixture
def archive(project):
    return pack(project.raw / "train.7z", images("train", [1]))


def write_folder(project, made_from=None, meanwhile=lambda: None):
    """Write images as an extraction does; `meanwhile` is called before they are in place."""
    made_from = made_from or {"name": "test"}
    with image_folder.staged_images(
        project.images("train"), project.manifest("train"), made_from
    ) as staged:
        for image_id in IDS:
            staged.write(image_id, b"%02d" % image_id)
        meanwhile()


def assert_foreign(project, path):
    """Check that `path` stops an extraction and that nothing is touched."""
    before = tree(project.data)
    with pytest.raises(ForeignPathError) as caught:
        write_folder(project)
    assert caught.value.path == path
    assert tree(project.data) == before


def test_staged_images_replace_the_folder(project, folder, archive):
    write_folder(project)
    (folder / "3.png").unlink()
    write_folder(project, identity(archive))
    assert tree(folder) == OLD
    digest = hashlib.sha256(project.manifest("train").read_bytes()).hexdigest()
    assert json.loads((project.data / "train.manifest.json").read_text()) == {
        "kaggle-cifar": "extraction",
        "archive": identity(archive),
        "manifest_sha256": digest,
    }


def test_staged_images_are_removed_on_failure(project):
    write_folder(project)
    before = tree(project.data)

    def fail():
        raise UserError("failed")

    with pytest.raises(UserError, match="failed"):
        write_folder(project, meanwhile=fail)
    assert tree(project.data) == before


def test_is_extracted_needs_each_image(project, folder, archive):
    manifest = project.manifest("train")
    write_folder(project, identity(archive))
    (folder / "3.png").rename(folder / "notes.txt")
    assert not image_folder.is_extracted(archive, folder, manifest)
    (folder / "notes.txt").rename(folder / "3.png")
    (folder / "notes.txt").touch()
    assert image_folder.is_extracted(archive, folder, manifest)


def test_is_extracted_after_the_archive_is_deleted(project, folder, archive):
    manifest = project.manifest("train")
    write_folder(project)
    assert not image_folder.is_extracted(archive, folder, manifest)
    archive.unlink()
    assert image_folder.is_extracted(archive, folder, manifest)


# Foreign files


def make_folder_of_an_images_name(folder):
    (folder / "1.png").unlink()
    (folder / "1.png").mkdir()
    (folder / "1.png" / "mine").write_text("mine")


def make_link_of_an_images_name(folder):
    (folder / "1.png").rename(folder.parent / "mine")
    (folder / "1.png").symlink_to("../mine")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("notes.txt", lambda folder: (folder / "notes.txt").write_text("mine")),
        ("99.png", lambda folder: (folder / "99.png").write_text("mine")),
        ("1.png", lambda folder: (folder / "1.png").write_text("edited")),
        ("sub", lambda folder: (folder / "sub").mkdir()),
        ("1.png", make_folder_of_an_images_name),
        ("1.png", make_link_of_an_images_name),
    ],
)
def test_foreign_file_among_images_is_kept(project, folder, name, make):
    write_folder(project)
    make(folder)
    assert_foreign(project, folder / name)


def test_images_without_a_manifest_are_kept(project, folder):
    folder.mkdir()
    (folder / "1.png").write_bytes(b"mine")
    assert_foreign(project, folder / "1.png")


@pytest.mark.parametrize("name", ["notes.txt", "2.png"])
def test_file_written_during_an_extraction_is_kept(project, folder, name):
    write_folder(project)
    with pytest.raises(ForeignPathError) as caught:
        write_folder(project, meanwhile=lambda: (folder / name).write_text("mine"))
    assert caught.value.path == folder / name
    assert tree(folder) == OLD | {name: b"mine"}


@pytest.mark.parametrize("name", ["train", "train.manifest.csv", "train.manifest.json"])
def test_file_written_next_to_the_images_is_kept(project, name):
    path = project.data / name
    with pytest.raises(ForeignPathError) as caught:
        write_folder(project, meanwhile=lambda: path.write_text("mine"))
    assert caught.value.path == path
    assert tree(project.data) == {name: b"mine"}


def test_unreadable_image_is_an_error(project, monkeypatch):
    write_folder(project)
    before = tree(project.data)

    def deny(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(image_folder, "read_file", deny)
    with pytest.raises(UserError, match="permission"):
        write_folder(project)
    assert tree(project.data) == before


@pytest.mark.parametrize("name", ["train.manifest.csv", "train.manifest.json"])
@pytest.mark.parametrize("content", ["mine", "id,size,crc32\n1,2,3\n", "{}"])
@pytest.mark.parametrize("written_before", [False, True])
def test_foreign_file_at_the_manifest_is_kept(project, folder, name, content, written_before):
    if written_before:
        write_folder(project)
    (project.data / name).write_text(content)
    assert_foreign(project, project.data / name)
    with pytest.raises(ForeignPathError):
        image_folder.is_extracted(project.raw / "train.7z", folder, project.manifest("train"))


@pytest.mark.parametrize(
    ("name", "error"),
    [("train.manifest.csv", ManifestMissingError), ("train.manifest.json", ForeignPathError)],
)
def test_missing_part_of_the_manifest_is_named(project, folder, name, error):
    write_folder(project)
    (project.data / name).unlink()
    before = tree(project.data)
    with pytest.raises(error, match=f"{name} is missing"):
        write_folder(project)
    assert tree(project.data) == before


def test_file_at_the_folder_is_kept(project, folder):
    folder.write_text("mine")
    assert_foreign(project, folder)


def test_hidden_files_next_to_the_folder_are_kept(project):
    for name in (".train.partial", ".train.old"):
        (project.data / name).mkdir()
        (project.data / name / "mine").write_text("mine")
    write_folder(project)
    for name in (".train.partial", ".train.old"):
        assert tree(project.data / name) == {"mine": b"mine"}


def test_empty_folder_is_replaced(project, folder):
    folder.mkdir()
    write_folder(project)
    assert tree(folder) == OLD


# Links


def test_foreign_file_behind_a_link_is_kept(project, folder, disk):
    (disk / "photos").mkdir(parents=True)
    (disk / "photos" / "mine.png").write_text("mine")
    folder.symlink_to(disk / "photos", target_is_directory=True)
    assert_foreign(project, folder / "mine.png")
    assert tree(disk) == {"photos": None, "photos/mine.png": b"mine"}


def test_link_to_a_missing_disk_is_refused(project, folder, tmp_path):
    folder.symlink_to(tmp_path / "unmounted" / "train", target_is_directory=True)
    with pytest.raises(UserError, match="Mount the disk"):
        write_folder(project)
    assert not (tmp_path / "unmounted").exists()


def test_top_of_a_disk_is_refused(project, folder, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    with pytest.raises(UserError, match="top of a disk"):
        write_folder(project)
