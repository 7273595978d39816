import errno
import hashlib
import json
import lzma
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import py7zr
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar.cli import cli
from kaggle_cifar.data import archive as seven_zip
from kaggle_cifar.data import extract
from kaggle_cifar.data.parallel import in_order
from kaggle_cifar.data.synthetic import draw_sample
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, lock
from kaggle_cifar.ownership import ForeignPathError
from tests.helpers.archives import (
    COPY,
    LZMA2,
    archive_of_header,
    header_bomb,
    images,
    of_rows,
    pack,
    png,
    tree,
    uint64,
    unix_mode,
    with_attributes,
)
from tests.helpers.kills import run_and_kill

IDS = range(1, 13)
METHODS = {
    "copy": COPY,
    "lzma": [{"id": py7zr.FILTER_LZMA, "preset": 0}],
    "lzma2": LZMA2,
    "bcj+lzma2": [{"id": py7zr.FILTER_X86}, *LZMA2],
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
}


@pytest.fixture
def project(tmp_path):
    return ProjectPaths(tmp_path / "data")


@pytest.fixture
def archive(project):
    return project.raw / "train.7z"


def extract_train(project, ids=IDS):
    extract.extract_archive(
        project.raw / "train.7z", project.images("train"), project.manifest("train"), ids
    )


def refused(project, ids=IDS):
    """Extract; return the message of the refusal, and hold that it changed nothing on disk."""
    surroundings = project.data.parent
    before = tree(surroundings)
    with pytest.raises(UserError) as caught:
        extract_train(project, ids)
    assert tree(surroundings) == before
    assert "train.7z" in str(caught.value)
    return str(caught.value)


def write_competition(project, train_ids=IDS, test_ids=IDS):
    pack(project.raw / "train.7z", images("train", train_ids))
    pack(project.raw / "test.7z", images("test", test_ids))
    for name, ids in (("trainLabels.csv", train_ids), ("sampleSubmission.csv", test_ids)):
        rows = "".join(f"{i},cat\n" for i in ids)
        (project.raw / name).write_bytes(f"id,label\n{rows}".encode())


class FullDisk:
    """Lets some files be written, then has no space left."""

    def __init__(self, function, allowed):
        self.function = function
        self.allowed = allowed

    def __call__(self, *arguments, **options):
        if self.allowed == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.allowed -= 1
        return self.function(*arguments, **options)


# What it does


def test_both_archives_are_extracted_with_their_manifests(project):
    write_competition(project, IDS, [1, 2, 10, 11, 100])
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


def test_what_is_extracted_is_left_alone(project, capsys):
    write_competition(project)
    extract.extract(project)
    before = project.images("train").stat()
    capsys.readouterr()
    extract.extract(project)
    assert project.images("train").stat() == before
    assert capsys.readouterr().out.count("extracted already") == 2


def test_images_stay_good_when_the_archives_are_gone(project, capsys):
    write_competition(project)
    extract.extract(project)
    shutil.rmtree(project.raw)
    extract.extract(project)
    assert capsys.readouterr().out.count("extracted already") == 2


def test_a_missing_archive_is_named(project):
    write_competition(project)
    (project.raw / "test.7z").unlink()
    with pytest.raises(UserError, match=r"test\.7z is missing.*kaggle-cifar download"):
        extract.extract(project)


def test_another_archive_replaces_the_images(project):
    write_competition(project)
    extract.extract(project)
    write_competition(project, IDS, range(1, 20))
    extract.extract(project)
    fresh = ProjectPaths(project.data.parent / "fresh")
    write_competition(fresh, IDS, range(1, 20))
    extract.extract(fresh)
    assert tree(project.images("test")) == tree(fresh.images("test"))
    assert project.manifest("test").read_bytes() == fresh.manifest("test").read_bytes()


def test_other_images_are_another_archive(archive):
    pack(archive, images("train", IDS))
    first = seven_zip.identity(archive)
    pack(archive, images("train", IDS) | {"train/5.png": png(55)})
    assert seven_zip.identity(archive) != first


def test_a_deleted_image_is_extracted_again(project):
    write_competition(project)
    extract.extract(project)
    (project.images("test") / "3.png").unlink()
    extract.extract(project)
    assert (project.images("test") / "3.png").read_bytes() == png(3)


def test_another_file_does_not_make_up_for_a_missing_image(project, archive):
    pack(archive, images("train", IDS))
    extract_train(project)
    (project.images("train") / "3.png").rename(project.images("train") / "notes.txt")
    assert not extract.is_extracted(archive, project.images("train"), project.manifest("train"))
    (project.images("train") / "notes.txt").rename(project.images("train") / "3.png")
    (project.images("train") / "notes.txt").touch()
    assert extract.is_extracted(archive, project.images("train"), project.manifest("train"))


def refused_as_foreign(project, path):
    """Extract; hold that `path` is named as someone else's, and nothing was touched."""
    before = tree(project.data)
    with pytest.raises(ForeignPathError) as caught:
        extract_train(project)
    assert caught.value.path == path
    assert tree(project.data) == before


def test_images_that_someone_else_unpacked_are_not_touched(project, archive):
    pack(archive, images("train", IDS))
    project.images("train").mkdir()
    (project.images("train") / "1.png").write_bytes(b"mine")
    refused_as_foreign(project, project.images("train") / "1.png")


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
        ("sub", lambda folder: (folder / "sub").mkdir()),
        ("1.png", make_folder_of_an_images_name),
        ("1.png", make_link_of_an_images_name),
    ],
)
def test_what_others_put_among_the_images_stops_a_new_extraction(project, archive, name, make):
    pack(archive, images("train", IDS))
    extract_train(project)
    make(project.images("train"))
    pack(archive, images("train", IDS) | {"train/5.png": png(55)})
    refused_as_foreign(project, project.images("train") / name)


def test_what_comes_among_the_images_meanwhile_is_not_deleted(project, archive, monkeypatch):
    pack(archive, images("train", IDS))
    extract_train(project)
    note = project.images("train") / "notes.txt"
    unpack = extract.unpack

    def unpack_and_note(*arguments):
        unpack(*arguments)
        note.write_text("mine")

    monkeypatch.setattr(extract, "unpack", unpack_and_note)
    with pytest.raises(ForeignPathError):
        extract_train(project)
    assert note.read_text() == "mine"
    assert len(tree(project.images("train"))) == len(IDS) + 1


@pytest.mark.parametrize("name", ["train.manifest.csv", "train.manifest.json"])
@pytest.mark.parametrize("content", ["mine", "id,size,crc32\n1,2,3\n", "{}"])
@pytest.mark.parametrize("extracted_before", [False, True])
def test_a_file_of_someone_else_in_a_manifests_place_is_kept(
    project, archive, name, content, extracted_before
):
    pack(archive, images("train", IDS))
    if extracted_before:
        extract_train(project)
    (project.data / name).write_text(content)
    refused_as_foreign(project, project.data / name)
    with pytest.raises(ForeignPathError):
        extract.is_extracted(archive, project.images("train"), project.manifest("train"))


def test_a_file_in_the_folders_place_is_kept(project, archive):
    pack(archive, images("train", IDS))
    project.images("train").write_text("mine")
    refused_as_foreign(project, project.images("train"))


def test_hidden_files_of_others_beside_the_images_stay(project, archive):
    pack(archive, images("train", IDS))
    for name in (".train.partial", ".train.old"):
        (project.data / name).mkdir()
        (project.data / name / "mine").write_text("mine")
    extract_train(project)
    for name in (".train.partial", ".train.old"):
        assert tree(project.data / name) == {"mine": b"mine"}


# Links


@pytest.fixture(params=["same disk", "another disk"])
def disk(request, tmp_path):
    """A folder elsewhere, on another file system if this machine has one to write to."""
    if request.param == "same disk":
        yield tmp_path / "disk"
        return
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder) / "disk"


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target, target_is_directory=True)


def test_a_link_to_a_missing_folder_is_named(tmp_path):
    link(tmp_path / "data", tmp_path / "missing")
    message = "data is not a folder, or is a link to a folder that is missing"
    with pytest.raises(UserError, match=message):
        extract.extract(ProjectPaths(tmp_path / "data"))
    with pytest.raises(UserError, match=message):
        draw_sample(tmp_path / "data" / "raw", train_count=20, test_count=20)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("target_exists", [True, False])
def test_images_go_where_the_link_of_their_folder_points(project, disk, target_exists):
    disk.mkdir()
    for split in ("train", "test"):
        if target_exists:
            (disk / split).mkdir()
        link(project.images(split), disk / split)
    for test_ids in (range(1, 20), range(1, 5)):
        write_competition(project, IDS, test_ids)
        extract.extract(project)
        assert tree(disk / "test") == {f"{i}.png": png(i) for i in test_ids}
    assert {path.name for path in disk.iterdir()} == {"train", "test"}
    assert all(project.images(split).is_symlink() for split in ("train", "test"))
    assert not extract.extract_split(project, project.raw / "train.7z", "train")


def test_what_others_have_where_a_link_points_is_kept(project, archive, disk):
    pack(archive, images("train", IDS))
    (disk / "photos").mkdir(parents=True)
    (disk / "photos" / "mine.png").write_text("mine")
    link(project.images("train"), disk / "photos")
    refused_as_foreign(project, project.images("train") / "mine.png")
    assert tree(disk) == {"photos": None, "photos/mine.png": b"mine"}


def test_a_link_whose_disk_is_missing_is_named(project, archive, tmp_path):
    pack(archive, images("train", IDS))
    link(project.images("train"), tmp_path / "unmounted" / "train")
    with pytest.raises(UserError, match=r"link to .*unmounted/train, but .*Mount the disk"):
        extract_train(project)
    assert not (tmp_path / "unmounted").exists()


def test_the_top_of_a_disk_is_refused_before_anything_is_read(project, archive, monkeypatch):
    pack(archive, images("train", IDS))
    monkeypatch.setattr(os.path, "ismount", lambda path: path == project.images("train"))
    with pytest.raises(UserError, match="top of a disk"):
        extract_train(project)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_kill_is_made_good_where_a_link_points(project, disk, calls):
    (disk / "train").mkdir(parents=True)
    link(project.images("train"), disk / "train")
    for ids in (IDS, range(1, 15)):
        write_competition(project, ids)
        run_and_kill("pathlib:Path.replace", calls, "--data-dir", str(project.data), "extract")
        extract.extract(project)
        assert tree(disk) == {"train": None} | images("train", ids)


def test_the_whole_way_works_on_links(tmp_path, disk):
    """The folders of data, runs and submissions are links, and those of the images once more."""
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


def test_an_empty_folder_is_taken(project, archive):
    pack(archive, images("train", IDS))
    project.images("train").mkdir()
    extract_train(project)
    assert len(tree(project.images("train"))) == len(IDS)


def test_members_names_are_not_followed_in_the_current_directory(project, archive, monkeypatch):
    pack(archive, images("train", IDS))
    elsewhere = project.data.parent / "elsewhere"
    elsewhere.mkdir()
    (project.data / "train").symlink_to(elsewhere, target_is_directory=True)
    monkeypatch.chdir(project.data)
    other = project.data.parent / "other"
    extract.extract_archive(archive, other / "train", other / "train.manifest.csv", IDS)
    assert not any(elsewhere.iterdir())
    assert len(tree(other / "train")) == len(IDS)


def test_another_extraction_at_work_is_not_disturbed(project):
    write_competition(project)
    with lock(project.data, "extraction"), pytest.raises(UserError, match="Another extraction"):
        extract.extract(project)


def test_of_two_processes_one_extracts(project):
    write_competition(project)
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(project.data), "extract"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    assert "".join(outputs).count("Extracted 12 images to") == 2, outputs
    for process, output in zip(both, outputs, strict=True):
        assert process.returncode == 0 or "Another extraction process" in output, output
    for split in ("train", "test"):
        assert tree(project.images(split)) == {f"{i}.png": png(i) for i in IDS}


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(1, 10**9), unique=True, min_size=1, max_size=20),
    blocks=st.integers(1, 3),
    with_folder=st.booleans(),
)
def test_every_image_comes_out_under_its_own_id(ids, blocks, with_folder):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "test.7z"
        for block in range(blocks):
            mode = "a" if block else "w"
            with py7zr.SevenZipFile(archive, mode, filters=COPY) as opened:
                if with_folder and block == 0:
                    opened.write(folder, "test")
                for image_id in ids[block::blocks]:
                    opened.writestr(png(image_id), f"test/{image_id}.png")
        extract.extract_archive(archive, folder / "test", folder / "manifest.csv", ids)
        assert tree(folder / "test") == {f"{i}.png": png(i) for i in ids}


@pytest.mark.parametrize("after", [[3], [3, 4]])
def test_a_folder_between_the_images_of_several_blocks_mixes_nothing_up(project, archive, after):
    # py7zr's own extraction shifts the names of all that follow, and does not give the last.
    archive.parent.mkdir(parents=True)
    with py7zr.SevenZipFile(archive, "w") as opened:
        for image_id in (1, 2):
            opened.writestr(png(image_id), f"train/{image_id}.png")
        opened.write(archive.parent, "train")
        for image_id in after:
            opened.writestr(png(image_id), f"train/{image_id}.png")
    with py7zr.SevenZipFile(archive, "a") as opened:
        opened.writestr(png(5), "train/5.png")
    ids = [1, 2, *after, 5]
    extract_train(project, ids)
    assert tree(project.images("train")) == {f"{i}.png": png(i) for i in ids}


@pytest.mark.parametrize("filters", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("piece_bytes", [2**24, 10_000, 1])
def test_all_methods_are_decoded_in_pieces_of_any_size(
    project, archive, monkeypatch, filters, piece_bytes
):
    monkeypatch.setattr(seven_zip, "PIECE_BYTES", piece_bytes)
    pack(archive, images("train", range(1, 60)), filters=filters)
    extract_train(project, range(1, 60))
    assert tree(project.images("train")) == {f"{i}.png": png(i) for i in range(1, 60)}


class Block:
    """What py7zr tells of a block of LZMA2."""

    def __init__(self, size):
        self.coders = [{"method": seven_zip.LZMA2, "properties": bytes([20])}]
        self.get_unpack_size = lambda: size


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 100_000), min_size=1, max_size=8),
    piece_bytes=st.sampled_from([1, 5_000, 2**17]),
)
def test_streams_with_dictionaries_of_their_own_come_in_order(sizes, piece_bytes):
    # As 7-Zip's packer joins what its threads made: all but the last lack their end mark.
    rng = np.random.default_rng(sum(sizes))
    parts = [rng.integers(0, 9, size, dtype=np.uint8).tobytes() for size in sizes]
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    streams = [lzma.compress(part, lzma.FORMAT_RAW, filters=filters)[:-1] for part in parts]
    packed = b"".join([*streams, b"\0"])
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(seven_zip, "PIECE_BYTES", piece_bytes)
        block = Block(sum(sizes))
        pieces = in_order(seven_zip.submit_lzma2(BytesIO(packed), block, len(packed), pool), 3)
        assert b"".join(seven_zip.chunks_of(pieces)) == b"".join(parts)


# What it refuses before it writes anything


@pytest.mark.parametrize(
    "name",
    [
        "train/../../evil.png",
        "../train/13.png",
        "train/..",
        "/train/13.png",
        "/etc/passwd",
        "C:/train/13.png",
        "C:13.png",
        "train\\..\\13.png",
        "\\\\server\\share\\13.png",
        "13.png",
        "test/13.png",
        "train/sub/13.png",
        "./train/13.png",
        "train//13.png",
        "train/13.PNG",
        "TRAIN/13.png",
        "Train/1.png",
        "train/01.png",
        "train/+1.png",
        "train/1_0.png",
        "train/\N{ARABIC-INDIC DIGIT ONE}.png",
        "train/0.png",
        "train/-1.png",
        "train/1.png ",
        "train/1.png.",
        "train/1.png:stream",
        "train/" + "9" * 5000 + ".png",
        "train/1.png\n",
        "train/\x1b[2J.png",
        "train/CON.png",
        "train",
        "",
    ],
)
def test_other_names_are_refused(project, archive, name):
    pack(archive, [*images("train", IDS).items(), (name, png(13))])
    message = refused(project)
    assert ascii(name.replace("\\", "/")[:100]) in message
    assert message.isprintable()


@pytest.mark.parametrize("name", ["train/3.png", "train\\3.png"])
def test_doubles_are_refused(project, archive, name):
    pack(archive, [*images("train", IDS).items(), (name, png(3))])
    assert "'train/3.png': twice" in refused(project)


@pytest.mark.parametrize(
    "attributes",
    [
        unix_mode(stat.S_IFLNK | 0o777),
        unix_mode(stat.S_IFIFO | 0o666),
        unix_mode(stat.S_IFSOCK | 0o666),
        unix_mode(stat.S_IFCHR | 0o666),
        unix_mode(stat.S_IFBLK | 0o666),
        unix_mode(stat.S_IFDIR | 0o777),
        unix_mode(stat.S_IFREG | 0o644) | stat.FILE_ATTRIBUTE_DIRECTORY,
        stat.FILE_ATTRIBUTE_REPARSE_POINT,
        stat.FILE_ATTRIBUTE_REPARSE_POINT | stat.FILE_ATTRIBUTE_DIRECTORY,
        stat.FILE_ATTRIBUTE_DIRECTORY,
    ],
)
def test_links_and_special_files_are_refused(project, archive, attributes):
    pack(archive, images("train", IDS), with_attributes(attributes))
    assert "'train/12.png': a link or another special file" in refused(project)


def test_a_real_symbolic_link_is_refused(project, archive):
    archive.parent.mkdir(parents=True)
    target = project.data / "target.png"
    target.write_bytes(png(1))
    (project.data / "link.png").symlink_to(target)
    with py7zr.SevenZipFile(archive, "w") as opened:
        opened.write(project.data / "link.png", "train/1.png")
    assert "'train/1.png': a link" in refused(project, [1])


def test_modes_are_not_taken_from_the_archive(project, archive):
    pack(archive, images("train", IDS), with_attributes(unix_mode(stat.S_IFREG | 0o7777)))
    extract_train(project)
    assert len({path.stat().st_mode for path in project.images("train").iterdir()}) == 1


def test_an_image_of_megabytes_is_refused(project, archive):
    pack(archive, images("train", IDS) | {"train/5.png": png(5) + bytes(2**20)})
    assert "'train/5.png': of 1,05" in refused(project)


def test_an_empty_image_is_refused(project, archive):
    pack(archive, images("train", IDS) | {"train/5.png": b""})
    assert "'train/5.png'" in refused(project)


def test_a_bomb_is_refused(project, archive):
    pack(archive, {name: content + bytes(2**16) for name, content in images("train", IDS).items()})
    assert "would unpack to" in refused(project)


def test_images_without_checksums_are_refused(project, archive):
    def forget_checksums(header):
        header.main_streams.substreamsinfo.digestsdefined = []

    pack(archive, images("train", IDS), forget_checksums)
    assert "'train/1.png': without a checksum" in refused(project)


def test_a_header_that_lies_about_sizes_is_refused(project, archive):
    def grow_and_shrink(header):
        sizes = header.main_streams.substreamsinfo.unpacksizes
        sizes[2], sizes[3] = sizes[2] - 100, sizes[3] + 100

    pack(archive, images("train", IDS), grow_and_shrink)
    assert "train/3.png" in refused(project)


@pytest.mark.parametrize("header_encryption", [False, True])
def test_encrypted_archives_are_refused(project, archive, header_encryption):
    pack(
        archive,
        images("train", [1]),
        filters=None,
        password="secret",
        header_encryption=header_encryption,
    )
    assert "is encrypted" in refused(project, [1])


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([1, 2, 3, 5], "lacks train/4.png:"),
        ([1, 2], "lacks train/3.png and 2 others"),
        ([1, 2, 3, 4, 5, 7], "unexpectedly, train/7.png"),
    ],
)
def test_other_ids_are_refused(project, archive, held, expected):
    pack(archive, images("train", held))
    assert expected in refused(project, range(1, 6))


def test_an_archive_of_nothing_is_refused(project, archive):
    archive_of_header(archive, b"")
    refused(project)


# Header bombs: refused at once, long before the memory is gone


def test_a_huge_header_is_refused(project, archive):
    archive_of_header(archive, b"\x01\0", size=2**60)
    assert "declares a header of" in refused(project)


@pytest.mark.parametrize("count", [2**20, 2**40, 2**64 - 1])
def test_a_huge_count_is_refused(project, archive, count):
    archive_of_header(archive, b"\x01\x05" + uint64(count) + b"\0\0")
    assert "is damaged" in refused(project)


def test_a_packed_header_of_millions_of_members_is_refused(project, archive):
    header_bomb(archive, 2_000_000)
    assert archive.stat().st_size < 5_000
    assert "is damaged" in refused(project)


# What it refuses while it writes


def replaced(content, old, new):
    assert content.count(old) == 1
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"GIF89a" + bytes(100), "is not an image"),
        (png(5, (32, 31)), "has 31 x 32 pixels"),
        (png(5, (64, 32)), "has 32 x 64 pixels"),
        (png(5)[:20], "is "),
        (png(5)[:1000], "is damaged or cut off"),
        (png(5)[:-12], "is "),
        (png(5)[:500] + bytes([png(5)[500] ^ 1]) + png(5)[501:], "is "),
        (replaced(png(5), b"IDAT", b"IDAX"), "is "),
        (png(5)[:25] + b"\x09" + png(5)[26:], "is "),
        (of_rows(bytes(3104)[:-1]), "is "),
        (of_rows(b"\x05" + bytes(3103)), "is "),
    ],
)
def test_an_image_that_does_not_decode_is_named(project, archive, content, what):
    pack(archive, images("train", IDS) | {"train/5.png": content})
    before = tree(project.data)
    with pytest.raises(extract.BrokenMemberError) as caught:
        extract_train(project)
    assert caught.value.member == "train/5.png"
    assert f"train/5.png, which {what}" in str(caught.value)
    assert tree(project.data) == before


def test_pngs_of_other_kinds_are_extracted_if_they_decode(project, archive):
    kinds = {"L": {}, "P": {}, "RGBA": {}, "1": {}, "I;16": {}, "RGB": {"compress_level": 0}}
    members = {}
    for number, (mode, options) in enumerate(kinds.items(), start=1):
        buffer = BytesIO()
        Image.new(mode, (32, 32)).save(buffer, "PNG", **options)
        members[f"train/{number}.png"] = buffer.getvalue()
    pack(archive, members)
    extract_train(project, range(1, len(kinds) + 1))
    assert {
        f"train/{name}": content for name, content in tree(project.images("train")).items()
    } == members


def test_a_wrong_checksum_names_the_member(project, archive):
    def falsify(header):
        header.main_streams.substreamsinfo.digests[4] ^= 1

    pack(archive, images("train", IDS), falsify)
    assert "5.png" in refused(project)


@pytest.mark.parametrize("filters", [LZMA2, COPY], ids=["lzma2", "copy"])
@pytest.mark.parametrize("place", range(20))
def test_truncated_archives_are_refused(project, archive, place, filters):
    whole = pack(archive, images("train", IDS), filters=filters).read_bytes()
    archive.write_bytes(whole[: len(whole) * place // 20])
    refused(project)


@pytest.mark.parametrize("filters", [LZMA2, METHODS["lzma"]], ids=["lzma2", "lzma"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_flipped_byte_is_refused_or_does_not_matter(project, archive, tenth, filters):
    """200 bytes: half of them anywhere, half in the two ends, where the headers are."""
    whole = pack(archive, images("train", IDS), filters=filters).read_bytes()
    anywhere = range(0, len(whole), len(whole) // 50)[:50]
    for place in [*anywhere, *range(25), *range(-25, 0)][tenth::10]:
        content = bytearray(whole)
        content[place] ^= 0xFF
        archive.write_bytes(content)
        try:
            extract_train(project)
        except UserError:
            assert tree(project.data) == {"raw": None, "raw/train.7z": bytes(content)}
        else:
            assert tree(project.images("train")) == {f"{i}.png": png(i) for i in IDS}
            shutil.rmtree(project.images("train"))
            for path in project.data.glob("train.*"):
                path.unlink()


def test_a_web_page_in_the_archives_place_is_refused(project, archive):
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"<!DOCTYPE html><title>Service unavailable</title>")
    assert "is not a 7z archive" in refused(project)


def test_a_damaged_archive_leaves_the_older_images(project, archive):
    pack(archive, images("train", IDS))
    extract_train(project)
    pack(archive, images("train", range(1, 12)) | {"train/12.png": b"no image"})
    refused(project)
    assert len(tree(project.images("train"))) == len(IDS)


# A full disk


@pytest.mark.parametrize("allowed", [0, 5])
def test_a_full_disk_leaves_nothing(project, archive, monkeypatch, allowed):
    pack(archive, images("train", IDS))
    monkeypatch.setattr(os, "write", FullDisk(os.write, allowed))
    with pytest.raises(UserError, match="The disk is full"):
        extract_train(project)
    monkeypatch.undo()
    assert tree(project.data).keys() == {"raw", "raw/train.7z"}


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_disk_full_at_the_manifest_leaves_the_older_images(
    project, archive, monkeypatch, allowed
):
    pack(archive, images("train", IDS))
    extract_train(project)
    pack(archive, images("train", range(1, 14)))
    before = tree(project.data)
    full_disk = FullDisk(Path.write_text, allowed)
    monkeypatch.setattr(Path, "write_text", lambda *text, **how: full_disk(*text, **how))
    with pytest.raises(UserError, match="The disk is full"):
        extract_train(project, range(1, 14))
    monkeypatch.undo()
    assert tree(project.data) == before


# A kill at any moment


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        *(("kaggle_cifar.data.extract:write_new_file", calls) for calls in (1, 17)),
        *(("pathlib:Path.replace", calls) for calls in (1, 2, 3, 4, 6, 8)),
    ],
)
def test_a_kill_is_made_good_by_the_next_run(project, where, calls):
    undisturbed = ProjectPaths(project.data.parent / "undisturbed")
    write_competition(project, IDS, IDS)
    extract.extract(project)
    write_competition(project, range(1, 15), range(1, 16))
    shutil.copytree(project.raw, undisturbed.raw)
    extract.extract(undisturbed)

    run_and_kill(where, calls, "--data-dir", str(project.data), "extract")
    for split in ("train", "test"):
        if project.images(split).exists():
            listed = {row.split(",")[0] for row in project.manifest(split).read_text().split()[1:]}
            assert {path.stem for path in project.images(split).iterdir()} == listed
    extract.extract(project)
    assert tree(project.data) == tree(undisturbed.data)


def test_the_record_says_from_what_the_images_were_made(project, archive):
    pack(archive, images("train", IDS))
    extract_train(project)
    record = json.loads(extract.record_path(project.manifest("train")).read_text())
    digest = hashlib.sha256(project.manifest("train").read_bytes()).hexdigest()
    assert record == {
        "kaggle-cifar": "extraction",
        "archive": seven_zip.identity(archive),
        "manifest_sha256": digest,
    }


def test_an_edited_image_is_kept(project, archive):
    pack(archive, images("train", IDS))
    extract_train(project)
    edited = project.images("train") / "1.png"
    edited.write_bytes(b"edited")
    pack(archive, images("train", IDS))
    os.utime(archive, (1, 1))
    with pytest.raises(ForeignPathError) as caught:
        extract_train(project)
    assert caught.value.path == edited
    assert edited.read_bytes() == b"edited"
