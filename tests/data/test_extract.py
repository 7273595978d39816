import errno
import os
import shutil
import stat
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from kaggle_cifar.cli import cli
from kaggle_cifar.data import extract
from kaggle_cifar.data.archive import DamagedArchiveError
from kaggle_cifar.data.synthetic import draw_sample
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, ProjectPaths, lock
from tests.helpers.archives import (
    images,
    of_rows,
    pack,
    pack_competition,
    png,
    tree,
    unix_mode,
    with_attributes,
)
from tests.helpers.kills import run_and_kill

IDS = range(1, 13)


@pytest.fixture
def project(tmp_path):
    return ProjectPaths(tmp_path / "data")


@pytest.fixture
def archive(project):
    return pack(project.raw / "train.7z", images("train", IDS))


def extract_train(project, ids=IDS):
    extract.extract_archive(
        project.raw / "train.7z", project.images("train"), project.manifest("train"), ids
    )


def refused(project, error, ids=IDS):
    """Return the error of an extraction; check that nothing on disk changed."""
    before = tree(project.data.parent)
    with pytest.raises(error) as caught:
        extract_train(project, ids)
    assert tree(project.data.parent) == before
    return caught.value


class FullDisk:
    """Lets some calls pass, then has no space left."""

    def __init__(self, function, allowed):
        self.function, self.allowed = function, allowed

    def __call__(self, *arguments, **options):
        if self.allowed == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.allowed -= 1
        return self.function(*arguments, **options)


# What is extracted


def test_extract_writes_images_and_manifests(project):
    pack_competition(project, IDS, [1, 2, 10, 11, 100])
    extract.extract(project)
    assert tree(project.data / "test") == {f"{i}.png": png(i) for i in (1, 2, 10, 11, 100)}
    assert len(tree(project.data / "train")) == len(IDS)
    rows = [f"{i},{len(png(i))},{zlib.crc32(png(i))}" for i in (1, 2, 10, 11, 100)]
    assert project.manifest("test").read_text().splitlines() == ["id,size,crc32", *rows]
    found = {path.name for path in project.data.iterdir()} - {".kaggle-cifar.lock"}
    assert sorted(found) == [
        "raw", "test", "test.manifest.csv", "test.manifest.json",
        "train", "train.manifest.csv", "train.manifest.json",
    ]  # fmt: skip


def test_extract_keeps_what_is_extracted(project, capsys):
    pack_competition(project, IDS, IDS)
    extract.extract(project)
    before = project.images("train").stat().st_mtime_ns
    capsys.readouterr()
    extract.extract(project, just_extracted=["test"])
    assert project.images("train").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count("already extracted") == 1
    shutil.rmtree(project.raw)
    assert not extract.extract_split(project, project.raw / "train.7z", "train")


def test_extract_without_an_archive(project):
    pack_competition(project, IDS, IDS)
    (project.raw / "test.7z").unlink()
    with pytest.raises(extract.ArchiveMissingError) as caught:
        extract.extract(project)
    assert caught.value.path == project.raw / "test.7z"


def test_extract_replaces_images_of_another_archive(project):
    pack_competition(project, IDS, IDS)
    extract.extract(project)
    pack_competition(project, IDS, range(5, 20))
    extract.extract(project)
    assert tree(project.images("test")) == {f"{i}.png": png(i) for i in range(5, 20)}
    assert len(project.manifest("test").read_text().splitlines()) == 1 + 15


def test_extract_restores_a_deleted_image(project):
    pack_competition(project, IDS, IDS)
    extract.extract(project)
    (project.images("test") / "3.png").unlink()
    extract.extract(project)
    assert (project.images("test") / "3.png").read_bytes() == png(3)


def test_extract_ignores_modes_in_the_archive(project, archive):
    pack(archive, images("train", IDS), with_attributes(unix_mode(stat.S_IFREG | 0o7777)))
    extract_train(project)
    assert len({path.stat().st_mode for path in project.images("train").iterdir()}) == 1


@pytest.mark.slow
def test_extract_keeps_pngs_of_other_kinds_that_decode(project, archive):
    kinds = {"L": {}, "P": {}, "RGBA": {}, "1": {}, "I;16": {}, "RGB": {"compress_level": 0}}
    members = {}
    for number, (mode, options) in enumerate(kinds.items(), start=1):
        buffer = BytesIO()
        Image.new(mode, (32, 32)).save(buffer, "PNG", **options)
        members[f"{number}.png"] = buffer.getvalue()
    pack(archive, {f"train/{name}": content for name, content in members.items()})
    extract_train(project, range(1, len(kinds) + 1))
    assert tree(project.images("train")) == members


def test_extract_ignores_links_in_the_current_folder(project, archive, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project.data / "train").symlink_to(elsewhere, target_is_directory=True)
    monkeypatch.chdir(project.data)
    other = tmp_path / "other"
    extract.extract_archive(archive, other / "train", other / "train.manifest.csv", IDS)
    assert not any(elsewhere.iterdir())
    assert len(tree(other / "train")) == len(IDS)


# What is refused


@pytest.mark.parametrize(
    "members",
    [
        {"train/../13.png": png(13)},
        {"train/5.png": png(5)[:20] + bytes(2**20)},
        {"train/5.png": b"no image"},
    ],
)
def test_extract_keeps_older_images_if_refused(project, archive, members):
    extract_train(project)
    pack(archive, images("train", IDS) | members)
    refused(project, UserError)


def test_extract_of_a_wrong_checksum_leaves_nothing(project, archive):
    def falsify(header):
        header.main_streams.substreamsinfo.digests[4] ^= 1

    pack(archive, images("train", IDS), falsify)
    refused(project, DamagedArchiveError)


@pytest.mark.parametrize(
    ("found", "missing", "unexpected"),
    [
        ([1, 2, 3, 5], {4}, set()),
        ([1, 2], {3, 4, 5}, set()),
        ([1, 2, 3, 4, 5, 7], set(), {7}),
    ],
)
def test_extract_of_other_ids_is_refused(project, archive, found, missing, unexpected):
    pack(archive, images("train", found))
    error = refused(project, extract.WrongIdsError, range(1, 6))
    assert (error.missing, error.unexpected) == (missing, unexpected)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"GIF89a" + bytes(100), "is not an image"),
        (png(5, (32, 31)), "has 31 x 32 pixels"),
        (png(5)[:1000], "is damaged or cut off"),
        (png(5)[:500] + bytes([png(5)[500] ^ 1]) + png(5)[501:], "is "),
        (of_rows(bytes(3104)[:-1]), "is "),
        (of_rows(b"\x05" + bytes(3103)), "is "),
    ],
)
def test_extract_names_an_image_that_does_not_decode(project, archive, content, what):
    pack(archive, images("train", IDS) | {"train/5.png": content})
    error = refused(project, extract.BrokenMemberError)
    assert error.member == "train/5.png"
    assert f"train/5.png, which {what}" in str(error)


def test_extract_while_another_extraction_runs(project):
    pack_competition(project, IDS, IDS)
    with lock(project.data, "extraction"), pytest.raises(BusyError):
        extract.extract(project)


@pytest.mark.slow
def test_extract_in_two_processes(project):
    pack_competition(project, IDS, IDS)
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data), "extract"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    assert "".join(outputs).count("Extracted 12 images to") == 2, outputs
    for process, output in zip(both, outputs, strict=True):
        assert process.returncode == 0 or "Another extraction" in output, output
    for split in ("train", "test"):
        assert tree(project.images(split)) == {f"{i}.png": png(i) for i in IDS}


# A full disk


@pytest.mark.parametrize("allowed", [0, 5])
def test_extract_to_a_full_disk_leaves_nothing(project, archive, monkeypatch, allowed):
    monkeypatch.setattr(os, "write", FullDisk(os.write, allowed))
    error = refused(project, UserError)
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("allowed", [0, 1])
def test_extract_to_a_full_disk_keeps_older_images(project, archive, monkeypatch, allowed):
    extract_train(project)
    pack(archive, images("train", range(1, 14)))
    full_disk = FullDisk(Path.write_text, allowed)
    monkeypatch.setattr(Path, "write_text", lambda *text, **how: full_disk(*text, **how))
    error = refused(project, UserError, range(1, 14))
    assert isinstance(error.__cause__, OSError)


# A kill at any moment


@pytest.mark.slow
@pytest.mark.kill
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        ("kaggle_cifar.data.image_folder:StagedImages.write", 17),
        *(("pathlib:Path.replace", calls) for calls in (1, 2, 3, 4, 6, 8)),
    ],
)
def test_extract_after_a_kill(project, where, calls):
    undisturbed = ProjectPaths(project.data.parent / "undisturbed")
    pack_competition(project, IDS, IDS)
    extract.extract(project)
    pack_competition(project, range(1, 15), range(1, 16))
    shutil.copytree(project.raw, undisturbed.raw)
    extract.extract(undisturbed)

    run_and_kill(where, calls, "--data-dir", str(project.data), "extract")
    for split in ("train", "test"):
        if project.images(split).exists():
            listed = {row.split(",")[0] for row in project.manifest(split).read_text().split()[1:]}
            assert {path.stem for path in project.images(split).iterdir()} == listed
    extract.extract(project)
    assert tree(project.data) == tree(undisturbed.data)


# Links


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=True)


def test_extract_through_a_link_to_nowhere(tmp_path):
    link(tmp_path / "data", tmp_path / "missing")
    with pytest.raises(UserError, match="link to a folder that is missing"):
        extract.extract(ProjectPaths(tmp_path / "data"))
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("target_exists", [True, False])
def test_extract_through_a_link_of_the_images(project, disk, target_exists):
    disk.mkdir()
    for split in ("train", "test"):
        if target_exists:
            (disk / split).mkdir()
        link(project.images(split), disk / split)
    for test_ids in (range(1, 20), range(1, 5)):
        pack_competition(project, IDS, test_ids)
        extract.extract(project)
        assert tree(disk / "test") == {f"{i}.png": png(i) for i in test_ids}
    assert {path.name for path in disk.iterdir()} == {"train", "test"}
    assert all(project.images(split).is_symlink() for split in ("train", "test"))
    assert not extract.extract_split(project, project.raw / "train.7z", "train")


@pytest.mark.slow
@pytest.mark.kill
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("calls", [1, 4])
def test_extract_through_a_link_after_a_kill(project, disk, calls):
    (disk / "train").mkdir(parents=True)
    link(project.images("train"), disk / "train")
    pack_competition(project, IDS, IDS)
    run_and_kill("pathlib:Path.replace", calls, "--data-dir", str(project.data), "extract")
    extract.extract(project)
    assert tree(disk) == {"train": None} | images("train", IDS)


@pytest.mark.slow
def test_all_stages_work_on_links(tmp_path, disk):
    """The folders of data, runs, submissions and images are links."""
    places = ProjectPaths(*(tmp_path / name for name in ("data", "runs", "submissions")))
    for place in (places.data, places.runs, places.submissions):
        (disk / place.name).mkdir(parents=True)
        link(place, disk / place.name)
    for split in ("train", "test"):
        (disk / "images" / split).mkdir(parents=True)
        link(places.images(split), disk / "images" / split)
    draw_sample(places.raw, train_count=60, test_count=30)
    folders = ("--data-dir", places.data, "--runs-dir", places.runs)
    start = [*map(str, (*folders, "--submissions-dir", places.submissions))]
    for command in (
        ["extract"],
        ["inspect"],
        ["train", "model1", "--epochs", "1"],
        ["predict", "model1"],
        ["check", str(places.submissions / "model1.csv")],
    ):
        done = CliRunner().invoke(cli, [*start, *command], catch_exceptions=False)
        assert done.exit_code == 0
    assert (disk / "submissions" / "model1.csv").exists()
    assert (disk / "runs" / "model1" / "metrics.json").exists()
    assert (disk / "data" / "inspection" / "classes.png").exists()
    assert len(tree(disk / "images" / "test")) == 30
    assert {path.name for path in tmp_path.iterdir() if path.is_symlink()} == {
        "data", "runs", "submissions",
    }  # fmt: skip


def test_complete_extraction_needs_no_writable_folder(project, monkeypatch, capsys):
    pack_competition(project, IDS, IDS)
    extract.extract(project)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(extract, "lock", lambda *_: pytest.fail("it wrote a lock"))
    capsys.readouterr()
    extract.extract(project)
    assert capsys.readouterr().out.count("already extracted") == 2
