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
from archives import (
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
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from kills import run_and_kill
from PIL import Image

from kaggle_cifar import extract, sevenzip
from kaggle_cifar.cli import cli
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.parallel import in_order
from kaggle_cifar.sample import draw_sample
from kaggle_cifar.storage import Layout, lock

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
def layout(tmp_path):
    return Layout(tmp_path / "data")


@pytest.fixture
def archive(layout):
    return layout.raw / "train.7z"


def extract_train(layout, ids=IDS):
    extract.extract_archive(
        layout.raw / "train.7z", layout.images("train"), layout.manifest("train"), ids
    )


def refused(layout, ids=IDS):
    """Extract; return the message of the refusal, and hold that it changed nothing on disk."""
    surroundings = layout.data.parent
    before = tree(surroundings)
    with pytest.raises(UserError) as caught:
        extract_train(layout, ids)
    assert tree(surroundings) == before
    assert "train.7z" in str(caught.value)
    return str(caught.value)


def write_competition(layout, train_ids=IDS, test_ids=IDS):
    pack(layout.raw / "train.7z", images("train", train_ids))
    pack(layout.raw / "test.7z", images("test", test_ids))
    for name, ids in (("trainLabels.csv", train_ids), ("sampleSubmission.csv", test_ids)):
        rows = "".join(f"{i},cat\n" for i in ids)
        (layout.raw / name).write_bytes(f"id,label\n{rows}".encode())


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


def test_both_archives_are_extracted_with_their_manifests(layout):
    write_competition(layout, IDS, [1, 2, 10, 11, 100])
    extract.extract(layout)
    assert tree(layout.data / "test") == {f"{i}.png": png(i) for i in (1, 2, 10, 11, 100)}
    assert len(tree(layout.data / "train")) == len(IDS)
    rows = [f"{i},{len(png(i))},{zlib.crc32(png(i))}" for i in (1, 2, 10, 11, 100)]
    assert layout.manifest("test").read_text().splitlines() == ["id,size,crc32", *rows]
    found = {path.name for path in layout.data.iterdir()} - {".kaggle-cifar.lock"}
    assert sorted(found) == [
        "raw", "test", "test.manifest.csv", "test.manifest.json",
        "train", "train.manifest.csv", "train.manifest.json",
    ]  # fmt: skip


def test_what_is_extracted_is_left_alone(layout, capsys):
    write_competition(layout)
    extract.extract(layout)
    before = layout.images("train").stat()
    capsys.readouterr()
    extract.extract(layout)
    assert layout.images("train").stat() == before
    assert capsys.readouterr().out.count("extracted already") == 2


def test_images_stay_good_when_the_archives_are_gone(layout, capsys):
    write_competition(layout)
    extract.extract(layout)
    shutil.rmtree(layout.raw)
    extract.extract(layout)
    assert capsys.readouterr().out.count("extracted already") == 2


def test_a_missing_archive_is_named(layout):
    write_competition(layout)
    (layout.raw / "test.7z").unlink()
    with pytest.raises(UserError, match=r"test\.7z is missing.*kaggle-cifar download"):
        extract.extract(layout)


def test_another_archive_replaces_the_images(layout):
    write_competition(layout)
    extract.extract(layout)
    write_competition(layout, IDS, range(1, 20))
    extract.extract(layout)
    fresh = Layout(layout.data.parent / "fresh")
    write_competition(fresh, IDS, range(1, 20))
    extract.extract(fresh)
    assert tree(layout.images("test")) == tree(fresh.images("test"))
    assert layout.manifest("test").read_bytes() == fresh.manifest("test").read_bytes()


def test_other_images_are_another_archive(archive):
    pack(archive, images("train", IDS))
    first = sevenzip.identity(archive)
    pack(archive, images("train", IDS) | {"train/5.png": png(55)})
    assert sevenzip.identity(archive) != first


def test_a_deleted_image_is_extracted_again(layout):
    write_competition(layout)
    extract.extract(layout)
    (layout.images("test") / "3.png").unlink()
    extract.extract(layout)
    assert (layout.images("test") / "3.png").read_bytes() == png(3)


def test_another_file_does_not_make_up_for_a_missing_image(layout, archive):
    pack(archive, images("train", IDS))
    extract_train(layout)
    (layout.images("train") / "3.png").rename(layout.images("train") / "notes.txt")
    assert not extract.is_extracted(archive, layout.images("train"), layout.manifest("train"))
    (layout.images("train") / "notes.txt").rename(layout.images("train") / "3.png")
    (layout.images("train") / "notes.txt").touch()
    assert extract.is_extracted(archive, layout.images("train"), layout.manifest("train"))


def refused_as_foreign(layout, path):
    """Extract; hold that `path` is named as someone else's, and nothing was touched."""
    before = tree(layout.data)
    with pytest.raises(ForeignPathError) as caught:
        extract_train(layout)
    assert caught.value.path == path
    assert tree(layout.data) == before


def test_images_that_someone_else_unpacked_are_not_touched(layout, archive):
    pack(archive, images("train", IDS))
    layout.images("train").mkdir()
    (layout.images("train") / "1.png").write_bytes(b"mine")
    refused_as_foreign(layout, layout.images("train") / "1.png")


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
def test_what_others_put_among_the_images_stops_a_new_extraction(layout, archive, name, make):
    pack(archive, images("train", IDS))
    extract_train(layout)
    make(layout.images("train"))
    pack(archive, images("train", IDS) | {"train/5.png": png(55)})
    refused_as_foreign(layout, layout.images("train") / name)


def test_what_comes_among_the_images_meanwhile_is_not_deleted(layout, archive, monkeypatch):
    pack(archive, images("train", IDS))
    extract_train(layout)
    note = layout.images("train") / "notes.txt"
    unpack = extract.unpack

    def unpack_and_note(*arguments):
        unpack(*arguments)
        note.write_text("mine")

    monkeypatch.setattr(extract, "unpack", unpack_and_note)
    with pytest.raises(ForeignPathError):
        extract_train(layout)
    assert note.read_text() == "mine"
    assert len(tree(layout.images("train"))) == len(IDS) + 1


@pytest.mark.parametrize("name", ["train.manifest.csv", "train.manifest.json"])
@pytest.mark.parametrize("content", ["mine", "id,size,crc32\n1,2,3\n", "{}"])
@pytest.mark.parametrize("extracted_before", [False, True])
def test_a_file_of_someone_else_in_a_manifests_place_is_kept(
    layout, archive, name, content, extracted_before
):
    pack(archive, images("train", IDS))
    if extracted_before:
        extract_train(layout)
    (layout.data / name).write_text(content)
    refused_as_foreign(layout, layout.data / name)
    with pytest.raises(ForeignPathError):
        extract.is_extracted(archive, layout.images("train"), layout.manifest("train"))


def test_a_file_in_the_folders_place_is_kept(layout, archive):
    pack(archive, images("train", IDS))
    layout.images("train").write_text("mine")
    refused_as_foreign(layout, layout.images("train"))


def test_hidden_files_of_others_beside_the_images_stay(layout, archive):
    pack(archive, images("train", IDS))
    for name in (".train.partial", ".train.old"):
        (layout.data / name).mkdir()
        (layout.data / name / "mine").write_text("mine")
    extract_train(layout)
    for name in (".train.partial", ".train.old"):
        assert tree(layout.data / name) == {"mine": b"mine"}


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
        extract.extract(Layout(tmp_path / "data"))
    with pytest.raises(UserError, match=message):
        draw_sample(tmp_path / "data" / "raw", train_count=20, test_count=20)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("target_exists", [True, False])
def test_images_go_where_the_link_of_their_folder_points(layout, disk, target_exists):
    disk.mkdir()
    for split in ("train", "test"):
        if target_exists:
            (disk / split).mkdir()
        link(layout.images(split), disk / split)
    for test_ids in (range(1, 20), range(1, 5)):
        write_competition(layout, IDS, test_ids)
        extract.extract(layout)
        assert tree(disk / "test") == {f"{i}.png": png(i) for i in test_ids}
    assert {path.name for path in disk.iterdir()} == {"train", "test"}
    assert all(layout.images(split).is_symlink() for split in ("train", "test"))
    assert not extract.extract_split(layout, layout.raw / "train.7z", "train")


def test_what_others_have_where_a_link_points_is_kept(layout, archive, disk):
    pack(archive, images("train", IDS))
    (disk / "photos").mkdir(parents=True)
    (disk / "photos" / "mine.png").write_text("mine")
    link(layout.images("train"), disk / "photos")
    refused_as_foreign(layout, layout.images("train") / "mine.png")
    assert tree(disk) == {"photos": None, "photos/mine.png": b"mine"}


def test_a_link_whose_disk_is_missing_is_named(layout, archive, tmp_path):
    pack(archive, images("train", IDS))
    link(layout.images("train"), tmp_path / "unmounted" / "train")
    with pytest.raises(UserError, match=r"link to .*unmounted/train, but .*Mount the disk"):
        extract_train(layout)
    assert not (tmp_path / "unmounted").exists()


def test_the_top_of_a_disk_is_refused_before_anything_is_read(layout, archive, monkeypatch):
    pack(archive, images("train", IDS))
    monkeypatch.setattr(os.path, "ismount", lambda path: path == layout.images("train"))
    with pytest.raises(UserError, match="top of a disk"):
        extract_train(layout)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_kill_is_made_good_where_a_link_points(layout, disk, calls):
    (disk / "train").mkdir(parents=True)
    link(layout.images("train"), disk / "train")
    for ids in (IDS, range(1, 15)):
        write_competition(layout, ids)
        run_and_kill("pathlib:Path.replace", calls, "--data-dir", str(layout.data), "extract")
        extract.extract(layout)
        assert tree(disk) == {"train": None} | images("train", ids)


def test_the_whole_way_works_on_links(tmp_path, disk):
    """The folders of data, runs and submissions are links, and those of the images once more."""
    places = Layout(*(tmp_path / name for name in ("data", "runs", "submissions")))
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


def test_an_empty_folder_is_taken(layout, archive):
    pack(archive, images("train", IDS))
    layout.images("train").mkdir()
    extract_train(layout)
    assert len(tree(layout.images("train"))) == len(IDS)


def test_members_names_are_not_followed_in_the_current_directory(layout, archive, monkeypatch):
    pack(archive, images("train", IDS))
    elsewhere = layout.data.parent / "elsewhere"
    elsewhere.mkdir()
    (layout.data / "train").symlink_to(elsewhere, target_is_directory=True)
    monkeypatch.chdir(layout.data)
    other = layout.data.parent / "other"
    extract.extract_archive(archive, other / "train", other / "train.manifest.csv", IDS)
    assert not any(elsewhere.iterdir())
    assert len(tree(other / "train")) == len(IDS)


def test_another_extraction_at_work_is_not_disturbed(layout):
    write_competition(layout)
    with lock(layout.data, "extraction"), pytest.raises(UserError, match="Another extraction"):
        extract.extract(layout)


def test_of_two_processes_one_extracts(layout):
    write_competition(layout)
    command = [sys.executable, "-m", "kaggle_cifar", "--data-dir", str(layout.data), "extract"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate()[0] for process in both]
    assert "".join(outputs).count("Extracted 12 images to") == 2, outputs
    for process, output in zip(both, outputs, strict=True):
        assert process.returncode == 0 or "Another extraction is at work" in output, output
    for split in ("train", "test"):
        assert tree(layout.images(split)) == {f"{i}.png": png(i) for i in IDS}


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
def test_a_folder_between_the_images_of_several_blocks_mixes_nothing_up(layout, archive, after):
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
    extract_train(layout, ids)
    assert tree(layout.images("train")) == {f"{i}.png": png(i) for i in ids}


@pytest.mark.parametrize("filters", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("piece_bytes", [2**24, 10_000, 1])
def test_all_methods_are_decoded_in_pieces_of_any_size(
    layout, archive, monkeypatch, filters, piece_bytes
):
    monkeypatch.setattr(sevenzip, "PIECE_BYTES", piece_bytes)
    pack(archive, images("train", range(1, 60)), filters=filters)
    extract_train(layout, range(1, 60))
    assert tree(layout.images("train")) == {f"{i}.png": png(i) for i in range(1, 60)}


class Block:
    """What py7zr tells of a block of LZMA2."""

    def __init__(self, size):
        self.coders = [{"method": sevenzip.LZMA2, "properties": bytes([20])}]
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
        patch.setattr(sevenzip, "PIECE_BYTES", piece_bytes)
        block = Block(sum(sizes))
        pieces = in_order(sevenzip.submit_lzma2(BytesIO(packed), block, len(packed), pool), 3)
        assert b"".join(sevenzip.chunks_of(pieces)) == b"".join(parts)


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
def test_other_names_are_refused(layout, archive, name):
    pack(archive, [*images("train", IDS).items(), (name, png(13))])
    message = refused(layout)
    assert ascii(name.replace("\\", "/")[:100]) in message
    assert message.isprintable()


@pytest.mark.parametrize("name", ["train/3.png", "train\\3.png"])
def test_doubles_are_refused(layout, archive, name):
    pack(archive, [*images("train", IDS).items(), (name, png(3))])
    assert "'train/3.png': twice" in refused(layout)


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
def test_links_and_special_files_are_refused(layout, archive, attributes):
    pack(archive, images("train", IDS), with_attributes(attributes))
    assert "'train/12.png': a link or another special file" in refused(layout)


def test_a_real_symbolic_link_is_refused(layout, archive):
    archive.parent.mkdir(parents=True)
    target = layout.data / "target.png"
    target.write_bytes(png(1))
    (layout.data / "link.png").symlink_to(target)
    with py7zr.SevenZipFile(archive, "w") as opened:
        opened.write(layout.data / "link.png", "train/1.png")
    assert "'train/1.png': a link" in refused(layout, [1])


def test_modes_are_not_taken_from_the_archive(layout, archive):
    pack(archive, images("train", IDS), with_attributes(unix_mode(stat.S_IFREG | 0o7777)))
    extract_train(layout)
    assert len({path.stat().st_mode for path in layout.images("train").iterdir()}) == 1


def test_an_image_of_megabytes_is_refused(layout, archive):
    pack(archive, images("train", IDS) | {"train/5.png": png(5) + bytes(2**20)})
    assert "'train/5.png': of 1,05" in refused(layout)


def test_an_empty_image_is_refused(layout, archive):
    pack(archive, images("train", IDS) | {"train/5.png": b""})
    assert "'train/5.png'" in refused(layout)


def test_a_bomb_is_refused(layout, archive):
    pack(archive, {name: content + bytes(2**16) for name, content in images("train", IDS).items()})
    assert "would unpack to" in refused(layout)


def test_images_without_checksums_are_refused(layout, archive):
    def forget_checksums(header):
        header.main_streams.substreamsinfo.digestsdefined = []

    pack(archive, images("train", IDS), forget_checksums)
    assert "'train/1.png': without a checksum" in refused(layout)


def test_a_header_that_lies_about_sizes_is_refused(layout, archive):
    def grow_and_shrink(header):
        sizes = header.main_streams.substreamsinfo.unpacksizes
        sizes[2], sizes[3] = sizes[2] - 100, sizes[3] + 100

    pack(archive, images("train", IDS), grow_and_shrink)
    assert "train/3.png" in refused(layout)


@pytest.mark.parametrize("header_encryption", [False, True])
def test_encrypted_archives_are_refused(layout, archive, header_encryption):
    pack(
        archive,
        images("train", [1]),
        filters=None,
        password="secret",
        header_encryption=header_encryption,
    )
    assert "is encrypted" in refused(layout, [1])


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([1, 2, 3, 5], "lacks train/4.png:"),
        ([1, 2], "lacks train/3.png and 2 others"),
        ([1, 2, 3, 4, 5, 7], "unexpectedly, train/7.png"),
    ],
)
def test_other_ids_are_refused(layout, archive, held, expected):
    pack(archive, images("train", held))
    assert expected in refused(layout, range(1, 6))


def test_an_archive_of_nothing_is_refused(layout, archive):
    archive_of_header(archive, b"")
    refused(layout)


# Header bombs: refused at once, long before the memory is gone


def test_a_huge_header_is_refused(layout, archive):
    archive_of_header(archive, b"\x01\0", size=2**60)
    assert "declares a header of" in refused(layout)


@pytest.mark.parametrize("count", [2**20, 2**40, 2**64 - 1])
def test_a_huge_count_is_refused(layout, archive, count):
    archive_of_header(archive, b"\x01\x05" + uint64(count) + b"\0\0")
    assert "is damaged" in refused(layout)


def test_a_packed_header_of_millions_of_members_is_refused(layout, archive):
    header_bomb(archive, 2_000_000)
    assert archive.stat().st_size < 5_000
    assert "is damaged" in refused(layout)


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
def test_an_image_that_does_not_decode_is_named(layout, archive, content, what):
    pack(archive, images("train", IDS) | {"train/5.png": content})
    before = tree(layout.data)
    with pytest.raises(extract.BrokenMemberError) as caught:
        extract_train(layout)
    assert caught.value.member == "train/5.png"
    assert f"train/5.png, which {what}" in str(caught.value)
    assert tree(layout.data) == before


def test_pngs_of_other_kinds_are_extracted_if_they_decode(layout, archive):
    kinds = {"L": {}, "P": {}, "RGBA": {}, "1": {}, "I;16": {}, "RGB": {"compress_level": 0}}
    members = {}
    for number, (mode, options) in enumerate(kinds.items(), start=1):
        buffer = BytesIO()
        Image.new(mode, (32, 32)).save(buffer, "PNG", **options)
        members[f"train/{number}.png"] = buffer.getvalue()
    pack(archive, members)
    extract_train(layout, range(1, len(kinds) + 1))
    assert {
        f"train/{name}": content for name, content in tree(layout.images("train")).items()
    } == members


def test_a_wrong_checksum_names_the_member(layout, archive):
    def falsify(header):
        header.main_streams.substreamsinfo.digests[4] ^= 1

    pack(archive, images("train", IDS), falsify)
    assert "5.png" in refused(layout)


@pytest.mark.parametrize("filters", [LZMA2, COPY], ids=["lzma2", "copy"])
@pytest.mark.parametrize("place", range(20))
def test_truncated_archives_are_refused(layout, archive, place, filters):
    whole = pack(archive, images("train", IDS), filters=filters).read_bytes()
    archive.write_bytes(whole[: len(whole) * place // 20])
    refused(layout)


@pytest.mark.parametrize("filters", [LZMA2, METHODS["lzma"]], ids=["lzma2", "lzma"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_flipped_byte_is_refused_or_does_not_matter(layout, archive, tenth, filters):
    """200 bytes: half of them anywhere, half in the two ends, where the headers are."""
    whole = pack(archive, images("train", IDS), filters=filters).read_bytes()
    anywhere = range(0, len(whole), len(whole) // 50)[:50]
    for place in [*anywhere, *range(25), *range(-25, 0)][tenth::10]:
        content = bytearray(whole)
        content[place] ^= 0xFF
        archive.write_bytes(content)
        try:
            extract_train(layout)
        except UserError:
            assert tree(layout.data) == {"raw": None, "raw/train.7z": bytes(content)}
        else:
            assert tree(layout.images("train")) == {f"{i}.png": png(i) for i in IDS}
            shutil.rmtree(layout.images("train"))
            for path in layout.data.glob("train.*"):
                path.unlink()


def test_a_web_page_in_the_archives_place_is_refused(layout, archive):
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"<!DOCTYPE html><title>Service unavailable</title>")
    assert "is not a 7z archive" in refused(layout)


def test_a_damaged_archive_leaves_the_older_images(layout, archive):
    pack(archive, images("train", IDS))
    extract_train(layout)
    pack(archive, images("train", range(1, 12)) | {"train/12.png": b"no image"})
    refused(layout)
    assert len(tree(layout.images("train"))) == len(IDS)


# A full disk


@pytest.mark.parametrize("allowed", [0, 5])
def test_a_full_disk_leaves_nothing(layout, archive, monkeypatch, allowed):
    pack(archive, images("train", IDS))
    monkeypatch.setattr(os, "write", FullDisk(os.write, allowed))
    with pytest.raises(UserError, match="The disk is full"):
        extract_train(layout)
    monkeypatch.undo()
    assert tree(layout.data).keys() == {"raw", "raw/train.7z"}


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_disk_full_at_the_manifest_leaves_the_older_images(layout, archive, monkeypatch, allowed):
    pack(archive, images("train", IDS))
    extract_train(layout)
    pack(archive, images("train", range(1, 14)))
    before = tree(layout.data)
    full_disk = FullDisk(Path.write_text, allowed)
    monkeypatch.setattr(Path, "write_text", lambda *text, **how: full_disk(*text, **how))
    with pytest.raises(UserError, match="The disk is full"):
        extract_train(layout, range(1, 14))
    monkeypatch.undo()
    assert tree(layout.data) == before


# A kill at any moment


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("where", "calls"),
    [
        *(("kaggle_cifar.extract:write_new_file", calls) for calls in (1, 17)),
        *(("pathlib:Path.replace", calls) for calls in (1, 2, 3, 4, 6, 8)),
    ],
)
def test_a_kill_is_made_good_by_the_next_run(layout, where, calls):
    undisturbed = Layout(layout.data.parent / "undisturbed")
    write_competition(layout, IDS, IDS)
    extract.extract(layout)
    write_competition(layout, range(1, 15), range(1, 16))
    shutil.copytree(layout.raw, undisturbed.raw)
    extract.extract(undisturbed)

    run_and_kill(where, calls, "--data-dir", str(layout.data), "extract")
    for split in ("train", "test"):
        if layout.images(split).exists():
            listed = {row.split(",")[0] for row in layout.manifest(split).read_text().split()[1:]}
            assert {path.stem for path in layout.images(split).iterdir()} == listed
    extract.extract(layout)
    assert tree(layout.data) == tree(undisturbed.data)


def test_the_record_says_from_what_the_images_were_made(layout, archive):
    pack(archive, images("train", IDS))
    extract_train(layout)
    record = json.loads(extract.record_path(layout.manifest("train")).read_text())
    digest = hashlib.sha256(layout.manifest("train").read_bytes()).hexdigest()
    assert record == {
        "kaggle-cifar": "extraction",
        "archive": sevenzip.identity(archive),
        "manifest_sha256": digest,
    }
