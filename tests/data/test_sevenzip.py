from io import BytesIO

import py7zr
import pytest
from py7zr import archiveinfo

from kaggle_cifar.data import sevenzip
from tests.helpers.archives import COPY, LZMA2, archive_of_header, images, pack

CONTENTS = images("train", range(1, 31))
METHODS = {
    "copy": COPY,
    "lzma": [{"id": py7zr.FILTER_LZMA, "preset": 0}],
    "lzma2": LZMA2,
    "bcj+lzma2": [{"id": py7zr.FILTER_X86}, *LZMA2],
    "bzip2": [{"id": py7zr.FILTER_BZIP2}],
    "deflate": [{"id": py7zr.FILTER_DEFLATE}],
}


def decode(content):
    file = BytesIO(content)
    return b"".join(sevenzip.decoded_chunks(sevenzip.open_sevenzip(file), file))


@pytest.mark.parametrize("filters", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("chunk_bytes", [sevenzip.CHUNK_BYTES, 1000])
def test_decoded_chunks_of_each_method(tmp_path, monkeypatch, filters, chunk_bytes):
    monkeypatch.setattr(sevenzip, "CHUNK_BYTES", chunk_bytes)
    archive = pack(tmp_path / "train.7z", CONTENTS, filters=filters)
    assert decode(archive.read_bytes()) == b"".join(CONTENTS.values())


def test_decoded_chunks_of_an_empty_archive(tmp_path):
    assert decode(archive_of_header(tmp_path / "train.7z", b"").read_bytes()) == b""


@pytest.mark.parametrize("filters", [COPY, METHODS["lzma"]], ids=["copy", "lzma"])
def test_decoded_chunks_of_a_file_that_ends_early(tmp_path, filters):
    content = pack(tmp_path / "train.7z", CONTENTS, filters=filters).read_bytes()
    opened = sevenzip.open_sevenzip(BytesIO(content))
    with pytest.raises(EOFError):
        list(sevenzip.decoded_chunks(opened, BytesIO(content[:1000])))


@pytest.mark.parametrize(
    ("method", "name"),
    [(b"\x03\x03\x01\x1b", "BCJ2"), (b"\x0a", "ARM64"), (b"\x7f\x01", "number 7f01")],
)
def test_unsupported_method_name(tmp_path, method, name):
    def change_method(header):
        header.main_streams.unpackinfo.folders[0].coders[0]["method"] = method

    archive = pack(tmp_path / "train.7z", CONTENTS, change_method)
    opened = sevenzip.open_sevenzip(BytesIO(archive.read_bytes()))
    assert sevenzip.unsupported_method(opened) == name


@pytest.mark.parametrize("header_encryption", [False, True])
def test_open_sevenzip_encrypted(tmp_path, header_encryption):
    options = {"password": "secret", "header_encryption": header_encryption}
    archive = pack(tmp_path / "train.7z", images("train", [1]), filters=None, **options)
    with pytest.raises(sevenzip.EncryptedError):
        sevenzip.open_sevenzip(BytesIO(archive.read_bytes()))


def test_header_limits_are_restored():
    before = archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE
    with sevenzip.header_limits():
        assert archiveinfo.MAX_NUMFILES == sevenzip.MAX_MEMBERS
        assert archiveinfo.MAX_HEADER_SIZE == sevenzip.MAX_HEADER_BYTES
    assert before == (archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE)
