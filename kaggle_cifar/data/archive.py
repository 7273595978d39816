"""The images of a 7z archive by id, each verified by its checksum.

An archive is data from elsewhere. Its header is checked before anything is written, and every
member must be an image of the competition.
"""

import hashlib
import os
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.data.parallel import read_ahead
from kaggle_cifar.data.sevenzip import (
    MAGIC,
    SIGNATURE,
    EncryptedError,
    decoded_chunks,
    open_sevenzip,
    unsupported_method,
)
from kaggle_cifar.data.sources import how_to_restore
from kaggle_cifar.errors import DamagedDownloadError, UserError

if TYPE_CHECKING:
    from py7zr import FileInfo, SevenZipFile

# A PNG of 32 x 32 pixels takes about 2.3 kB.
MAX_MEMBER_BYTES = 2**20
MAX_MEAN_BYTES = 2**14
# The end of an archive that identifies it: the whole header with the CRC of each member.
TAIL_BYTES = 2**22
DECODED_AHEAD = 16  # chunks

Contents = Iterator[tuple[int, bytes]]


class DamagedArchiveError(DamagedDownloadError):
    """An archive is corrupt, or it is not one that the competition serves."""

    def __init__(self, archive: Path, fault: str) -> None:
        super().__init__(fault, how_to_restore(archive))


class UnexpectedMemberError(DamagedArchiveError):
    """An archive holds something else than the expected images; `member` is its name."""

    def __init__(self, archive: Path, member: str, fault: str) -> None:
        self.member = member
        # `!a` because the name may contain escapes for the terminal.
        super().__init__(
            archive, f"{archive} contains {member[:100]!a}, {fault}. Nothing was extracted."
        )


class UnsupportedMethodError(UserError):
    """py7zr cannot decode an archive, which may be intact; `method` is its compression."""

    def __init__(self, archive: Path, method: str) -> None:
        self.method = method
        super().__init__(
            f"{archive} uses the compression method {method}, which is not supported. The archive "
            f"may be intact. Unpack it with 7-Zip (`7z x {archive}`), pack the folder again "
            f"(`7z a {archive.name} {archive.stem}`) and move the new archive to {archive.parent}."
        )


class ArchiveMember(NamedTuple):
    """An image's entry in the archive's header."""

    size: int  # bytes
    crc32: int


def identity(archive: Path) -> dict[str, Any]:
    """Return an archive's name and size, and a hash of its two ends.

    The ends contain the header and with it the CRC of every member. The same identity means the
    same images, and it takes no longer for a larger archive.
    """
    with open_file(archive) as file:
        digest = hashlib.sha256(file.read(SIGNATURE.size))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        digest.update(file.read())
    return {"name": archive.name, "bytes": size, "sha256_of_ends": digest.hexdigest()}


def open_file(archive: Path) -> IO[bytes]:
    """Open an archive as a binary file."""
    try:
        return archive.open("rb")
    except OSError as error:
        raise UserError(f"{archive} could not be read: {error.strerror or error}.") from error


@contextmanager
def open_images(archive: Path, split: str) -> Iterator[tuple[dict[int, ArchiveMember], Contents]]:
    """Yield the images `<split>/<id>.png` of an archive by id, and an iterator of their contents.

    The iterator yields pairs of id and content in the order of the archive, each with the right
    checksum. Another thread decodes ahead of it.

    Raises
    ------
    DamagedArchiveError
        If the archive is corrupt, contains anything else, or would unpack to far more than such
        images take. The iterator raises it, too.
    UnsupportedMethodError
        If its compression is not supported.
    """
    with open_file(archive) as file, ThreadPoolExecutor(1) as pool:
        check_length(file, archive)
        opened = open_archive(file, archive)
        chunks = read_ahead(decoded_chunks(opened, file), pool, DECODED_AHEAD)
        members = read_members(opened, archive, split)
        yield members, verified_contents(chunks, members, archive, split)


def check_length(file: IO[bytes], archive: Path) -> None:
    """Raise a DamagedArchiveError if the first bytes are not those of a whole 7z archive."""
    start = file.read(SIGNATURE.size)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not start.startswith(MAGIC):
        raise DamagedArchiveError(
            archive,
            f"{archive} is not a 7z archive: it starts with {start[:6]!r}, expected {MAGIC!r}.",
        )
    _, crc, header_offset, header_bytes, _ = SIGNATURE.unpack(start.ljust(SIGNATURE.size, b"\0"))
    if crc != zlib.crc32(start[12:]):
        raise DamagedArchiveError(
            archive, f"{archive} is corrupt: its first 32 bytes fail their checksum."
        )
    expected = SIGNATURE.size + header_offset + header_bytes
    if expected > length:
        raise DamagedArchiveError(
            archive, f"{archive} is cut off: expected {expected:,} bytes, found {length:,}."
        )


def open_archive(file: IO[bytes], archive: Path) -> "SevenZipFile":
    """Return the archive, whose header is sound and whose compression is supported."""
    with corruption_explained(archive):
        try:
            opened = open_sevenzip(file)
        except EncryptedError:
            raise DamagedArchiveError(
                archive, f"{archive} is encrypted. Kaggle's archive is not."
            ) from None
    # The header's checksum was right, so an unknown method is no corruption.
    if method := unsupported_method(opened):
        raise UnsupportedMethodError(archive, method)
    return opened


@contextmanager
def corruption_explained(archive: Path, place: str = "") -> Iterator[None]:
    """Raise a DamagedArchiveError in place of what py7zr raises on a corrupt archive.

    Its parsers and decoders raise exceptions of a dozen classes.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise DamagedArchiveError(
            archive,
            f"{archive} is corrupt{place} ({type(error).__name__}: {str(error)[:200]}). "
            "Nothing was extracted.",
        ) from error


def read_members(opened: "SevenZipFile", archive: Path, split: str) -> dict[int, ArchiveMember]:
    """Return the images in the archive's header by id.

    Raises
    ------
    UnexpectedMemberError
        If it contains anything else but an entry for their folder.
    """
    with corruption_explained(archive):
        entries = opened.list()
    path = re.compile(rf"{re.escape(split)}/([1-9][0-9]{{0,17}})\.png")
    members: dict[int, ArchiveMember] = {}
    for entry in entries:
        if entry.filename == split and entry.is_directory and not entry.uncompressed:
            continue
        match = path.fullmatch(entry.filename)
        if not match:
            raise UnexpectedMemberError(archive, entry.filename, f"expected only {split}/<id>.png")
        image_id = int(match[1])
        if fault := find_fault(entry, image_id in members):
            raise UnexpectedMemberError(archive, entry.filename, fault)
        members[image_id] = ArchiveMember(entry.uncompressed, entry.crc32)
    check_total_size(members, archive)
    return members


def find_fault(entry: "FileInfo", is_duplicate: bool) -> str | None:
    """Return what is wrong with an entry that has the name of an image, or None."""
    if is_duplicate:
        return "a duplicate"
    if not entry.is_file or entry.is_directory:
        return "a link or another special file, expected a regular file"
    if not 0 < entry.uncompressed <= MAX_MEMBER_BYTES:
        return f"of {entry.uncompressed:,} bytes, expected 1 to {MAX_MEMBER_BYTES:,}"
    if entry.crc32 is None:
        return "without a checksum"
    return None


def check_total_size(members: dict[int, ArchiveMember], archive: Path) -> None:
    """Raise a DamagedArchiveError if the images are far larger than such images are."""
    total, limit = sum(m.size for m in members.values()), MAX_MEAN_BYTES * len(members)
    if total > limit:
        raise DamagedArchiveError(
            archive,
            f"{archive} would unpack to {total:,} bytes, expected less than {limit:,} for "
            f"{len(members):,} images of {IMAGE_SIZE} x {IMAGE_SIZE} pixels. "
            "Nothing was extracted.",
        )


def verified_contents(
    chunks: Iterator[bytes | None], members: dict[int, ArchiveMember], archive: Path, split: str
) -> Contents:
    """Yield the id and the content of each member, cut from chunks that end with None.

    Raises
    ------
    DamagedArchiveError
        If the stream cannot be decoded or ends early.
    UnexpectedMemberError
        If a content does not match its checksum.
    """
    buffer, start = b"", 0
    for image_id, (size, crc32) in members.items():
        while start + size > len(buffer):
            with corruption_explained(archive, f" at {split}/{image_id}.png or soon after it"):
                chunk = next(chunks)
                if chunk is None:
                    raise EOFError("the content ends early")
            buffer, start = buffer[start:] + chunk, 0
        content, start = buffer[start : start + size], start + size
        if zlib.crc32(content) != crc32:
            fault = "which does not match its checksum"
            raise UnexpectedMemberError(archive, f"{split}/{image_id}.png", fault)
        yield image_id, content
