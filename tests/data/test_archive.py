import stat
import tempfile
from pathlib import Path

import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaggle_cifar.data.archive import (
    DamagedArchiveError,
    UnexpectedMemberError,
    UnsupportedMethodError,
    identity,
    open_images,
)
from kaggle_cifar.errors import UserError
from tests.helpers.archives import (
    COPY,
    LZMA2,
    archive_of_header,
    header_bomb,
    images,
    pack,
    png,
    uint64,
    unix_mode,
    with_attributes,
)

IDS = range(1, 13)
IMAGES = images("train", IDS)
LZMA1 = [{"id": py7zr.FILTER_LZMA, "preset": 0}]


@pytest.fixture
def archive(tmp_path):
    return tmp_path / "train.7z"


def read(archive, split="train"):
    """Return the images of an archive by id, each of the size in the header."""
    with open_images(archive, split) as (members, contents):
        found = dict(contents)
    assert {i: member.size for i, member in members.items()} == {i: len(found[i]) for i in found}
    return found


def unexpected_member(archive):
    """Return the error about a member that is not an expected image."""
    with pytest.raises(UnexpectedMemberError) as caught:
        read(archive)
    return caught.value


# What is read


@settings(max_examples=25, deadline=None)
@given(
    ids=st.lists(st.integers(1, 10**9), unique=True, min_size=1, max_size=20),
    blocks=st.integers(1, 3),
    with_folder=st.booleans(),
)
def test_open_images_gives_each_image_its_own_id(ids, blocks, with_folder):
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "test.7z"
        for block in range(blocks):
            mode = "a" if block else "w"
            with py7zr.SevenZipFile(archive, mode, filters=COPY) as opened:
                if with_folder and block == 0:
                    opened.write(Path(name), "test")
                for image_id in ids[block::blocks]:
                    opened.writestr(b"%d" % image_id, f"test/{image_id}.png")
        assert read(archive, "test") == {i: b"%d" % i for i in ids}


@pytest.mark.parametrize("after", [[3], [3, 4]])
def test_open_images_with_a_folder_between_blocks(archive, after):
    # py7zr's own extraction shifts the names of all that follow, and omits the last.
    with py7zr.SevenZipFile(archive, "w") as opened:
        for image_id in (1, 2):
            opened.writestr(png(image_id), f"train/{image_id}.png")
        opened.write(archive.parent, "train")
        for image_id in after:
            opened.writestr(png(image_id), f"train/{image_id}.png")
    with py7zr.SevenZipFile(archive, "a") as opened:
        opened.writestr(png(5), "train/5.png")
    assert read(archive) == {i: png(i) for i in [1, 2, *after, 5]}


def test_identity_of_other_images_differs(archive):
    pack(archive, IMAGES)
    first = identity(archive)
    pack(archive, IMAGES | {"train/5.png": png(55)})
    assert identity(archive) != first


def test_identity_of_a_missing_archive(archive):
    with pytest.raises(UserError, match="could not be read"):
        identity(archive)


# Members


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
        "train/3.png",
        "train\\3.png",
    ],
)
def test_unexpected_name_is_refused(archive, name):
    pack(archive, [*IMAGES.items(), (name, png(13))])
    error = unexpected_member(archive)
    assert error.member == name.replace("\\", "/")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "attributes",
    [
        unix_mode(stat.S_IFLNK | 0o777),
        unix_mode(stat.S_IFIFO | 0o666),
        unix_mode(stat.S_IFSOCK | 0o666),
        unix_mode(stat.S_IFCHR | 0o666),
        unix_mode(stat.S_IFBLK | 0o666),
        unix_mode(stat.S_IFDIR | 0o777),
        stat.FILE_ATTRIBUTE_REPARSE_POINT,
        stat.FILE_ATTRIBUTE_DIRECTORY,
    ],
)
def test_special_file_is_refused(archive, attributes):
    pack(archive, IMAGES, with_attributes(attributes))
    assert unexpected_member(archive).member == "train/12.png"


@pytest.mark.parametrize(
    "attributes",
    [
        unix_mode(stat.S_IFREG | 0o644) | stat.FILE_ATTRIBUTE_DIRECTORY,
        stat.FILE_ATTRIBUTE_REPARSE_POINT | stat.FILE_ATTRIBUTE_DIRECTORY,
    ],
)
def test_contradictory_attributes_are_refused(archive, attributes):
    pack(archive, IMAGES, with_attributes(attributes))
    with pytest.raises(DamagedArchiveError):
        read(archive)


def test_symbolic_link_is_refused(archive):
    (archive.parent / "link.png").symlink_to("target.png")
    (archive.parent / "target.png").write_bytes(png(1))
    with py7zr.SevenZipFile(archive, "w") as opened:
        opened.write(archive.parent / "link.png", "train/1.png")
    assert unexpected_member(archive).member == "train/1.png"


@pytest.mark.parametrize("content", [b"", png(5) + bytes(2**20)], ids=["empty", "huge"])
def test_image_of_impossible_size_is_refused(archive, content):
    pack(archive, IMAGES | {"train/5.png": content})
    assert unexpected_member(archive).member == "train/5.png"


def test_images_of_too_many_bytes_are_refused(archive):
    pack(archive, {name: content + bytes(2**16) for name, content in IMAGES.items()})
    with pytest.raises(DamagedArchiveError, match="would unpack to"):
        read(archive)


def remove_checksums(header):
    header.main_streams.substreamsinfo.digestsdefined = []


def change_checksum(header):
    header.main_streams.substreamsinfo.digests[4] ^= 1


def change_sizes(header):
    sizes = header.main_streams.substreamsinfo.unpacksizes
    sizes[2], sizes[3] = sizes[2] - 100, sizes[3] + 100


@pytest.mark.parametrize(
    ("tamper", "member"),
    [
        (remove_checksums, "train/1.png"),
        (change_checksum, "train/5.png"),
        (change_sizes, "train/3.png"),
    ],
)
def test_content_without_its_checksum_is_refused(archive, tamper, member):
    pack(archive, IMAGES, tamper)
    assert unexpected_member(archive).member == member


# Corrupt archives


def test_encrypted_archive_is_refused(archive):
    pack(archive, images("train", [1]), filters=None, password="secret")
    with pytest.raises(DamagedArchiveError, match="encrypted"):
        read(archive)


def test_unsupported_method_names_the_method(archive):
    def change_method(header):
        header.main_streams.unpackinfo.folders[0].coders[0]["method"] = b"\x0a"

    pack(archive, IMAGES, change_method)
    with pytest.raises(UnsupportedMethodError) as caught:
        read(archive)
    assert caught.value.method == "ARM64"


@pytest.mark.parametrize(
    "write",
    [
        lambda archive: archive.write_bytes(b"<!DOCTYPE html><title>Unavailable</title>"),
        lambda archive: archive_of_header(archive, b"\x01\0", size=2**60),
        lambda archive: archive_of_header(archive, b"\x01\x05" + uint64(2**20) + b"\0\0"),
        lambda archive: archive_of_header(archive, b"\x01\x05" + uint64(2**64 - 1) + b"\0\0"),
        lambda archive: header_bomb(archive, 2_000_000),
    ],
    ids=["web page", "huge header", "many members", "most members", "packed header"],
)
def test_bomb_or_other_file_is_refused(archive, write):
    write(archive)
    with pytest.raises(DamagedArchiveError):
        read(archive)


@pytest.mark.parametrize("filters", [LZMA2, COPY], ids=["lzma2", "copy"])
def test_truncated_archive_is_refused(archive, filters):
    content = pack(archive, IMAGES, filters=filters).read_bytes()
    for twentieth in range(20):
        archive.write_bytes(content[: len(content) * twentieth // 20])
        with pytest.raises(DamagedArchiveError):
            read(archive)


@pytest.mark.parametrize("filters", [LZMA2, LZMA1], ids=["lzma2", "lzma"])
def test_flipped_byte_is_refused_or_harmless(archive, filters):
    """100 bytes: half of them anywhere, half in the two ends, where the headers are."""
    content = pack(archive, IMAGES, filters=filters).read_bytes()
    anywhere = range(0, len(content), len(content) // 50)[:50]
    refused = 0
    for place in [*anywhere, *range(25), *range(-25, 0)]:
        flipped = bytearray(content)
        flipped[place] ^= 0xFF
        archive.write_bytes(flipped)
        try:
            assert read(archive) == {i: png(i) for i in IDS}
        except DamagedArchiveError:
            refused += 1
    assert refused > 90
