"""The only module that knows py7zr: a 7z archive's header and the content of its members.

py7zr's own extraction works member by member: for each one it asks for the free memory and builds
eight paths, which doubles the time of 300,000 small files. It also mixes up names if an entry for
a folder is between files of several blocks. Therefore this module decodes whole blocks with
py7zr's decoders and leaves it to the caller to cut them. The blocks and the limits of a header
are not public in py7zr, so `pyproject.toml` bounds its version.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from kaggle_cifar import competition

if TYPE_CHECKING:
    from py7zr import SevenZipFile

# The first 32 bytes of an archive: magic, version, CRC of the rest; offset, size and CRC of the
# header at its end (7zFormat.txt of the LZMA SDK).
SIGNATURE = struct.Struct("<6s2xIQQI")
MAGIC = b"7z\xbc\xaf\x27\x1c"

# Kaggle's headers of 300,000 members take under 20 MB unpacked.
MAX_HEADER_BYTES = 2**26
MAX_MEMBERS = 2 * competition.TEST_COUNT
CHUNK_BYTES = 2**20

# Methods that 7-Zip knows and py7zr does not (Methods.txt of the LZMA SDK).
METHOD_NAMES = {b"\x03\x03\x01\x1b": "BCJ2", b"\x0a": "ARM64", b"\x0b": "RISCV"}


class EncryptedError(ValueError):
    """An archive needs a password."""


def open_sevenzip(file: IO[bytes]) -> "SevenZipFile":
    """Read the header of a 7z archive; raise an EncryptedError if it needs a password.

    py7zr raises exceptions of many classes if the header is corrupt.
    """
    import py7zr

    with header_limits():
        try:
            opened = py7zr.SevenZipFile(file)
        except py7zr.PasswordRequired:
            raise EncryptedError from None
    if opened.needs_password():
        raise EncryptedError
    return opened


@contextmanager
def header_limits() -> Iterator[None]:
    """Limit the memory that py7zr spends on a header.

    Its own limits allow 8 million members. An archive of 5 kB can declare them, and they take
    4 GB of memory.
    """
    from py7zr import archiveinfo

    before = archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE
    archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE = MAX_MEMBERS, MAX_HEADER_BYTES
    try:
        yield
    finally:
        archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE = before


def unsupported_method(opened: "SevenZipFile") -> str | None:
    """Return the name of a compression method of the archive that py7zr lacks, or None."""
    from py7zr.compressor import SupportedMethods

    streams = opened.header.main_streams
    for block in streams.unpackinfo.folders if streams else ():
        for coder in block.coders:
            if SupportedMethods.get_filter_id(coder) is None:
                method = coder["method"]
                return METHOD_NAMES.get(method, f"number {method.hex()}")
    return None


def decoded_chunks(opened: "SevenZipFile", file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of all members of an opened archive as one stream, in chunks.

    Raises
    ------
    Exception
        An exception of any class if the archive is corrupt.
    """
    streams = opened.header.main_streams
    if streams is None:
        return
    position = SIGNATURE.size + streams.packinfo.packpos
    for block, size in zip(streams.unpackinfo.folders, streams.packinfo.packsizes, strict=True):
        file.seek(position)
        yield from decoded_block(block, size, file)
        position += size


def decoded_block(block: Any, size: int, file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content of a block, whose `size` packed bytes start where `file` is."""
    decoder, remaining = block.get_decompressor(size), block.get_unpack_size()
    while remaining:
        position = file.tell()  # words: allow
        chunk = decoder.decompress(file, min(remaining, CHUNK_BYTES))
        if not chunk and file.tell() == position:  # words: allow
            raise EOFError("the packed content ends early")
        remaining -= len(chunk)
        yield chunk
