"""A 7z archive from elsewhere → its images by id, each held against its checksum.

py7zr reads the header, which is judged before anything is decoded for use. The content of all
members is one stream a block; it is decoded by several threads and cut by the header's sizes.
"""

import gc
import hashlib
import lzma
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from kaggle_cifar import competition
from kaggle_cifar.errors import DamagedDownloadError, UserError
from kaggle_cifar.parallel import THREADS, in_order, run_after

# The first 32 bytes of a 7z archive: magic, version, CRC of the rest; offset, size and CRC of the
# header that ends it (7zFormat.txt of the LZMA SDK).
SIGNATURE = struct.Struct("<6s2xIQQI")
MAGIC = b"7z\xbc\xaf\x27\x1c"

# Kaggle's headers of 300,000 members take under 20 MB unpacked.
MAX_HEADER_BYTES = 2**26
MAX_MEMBERS = 2 * competition.TEST_COUNT
# A PNG of 32 x 32 pixels takes about 2.3 kB.
MAX_MEMBER_BYTES = 2**20
MAX_MEAN_BYTES = 2**14
# What of an archive's end tells it from others: all of the header, with every member's CRC.
TAIL_BYTES = 2**22

REMEDY = "Delete it and run `kaggle-cifar download` again."


# What a block of LZMA2 is cut into for decoding: 7-Zip's own blocks take as much at its fast level.
PIECE_BYTES = 2**24
LZMA2 = b"\x21"  # the method's id
# Methods that 7-Zip knows and py7zr does not (Methods.txt of the LZMA SDK).
METHOD_NAMES = {b"\x03\x03\x01\x1b": "BCJ2", b"\x0a": "ARM64", b"\x0b": "RISCV"}

Contents = Iterator[tuple[int, memoryview]]


class DamagedArchiveError(DamagedDownloadError):
    """An archive that is not, or not wholly, what the competition serves."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault, REMEDY)


class UnsupportedMethodError(UserError):
    """An archive that py7zr cannot decode, whole or not; `method` names its compression."""

    def __init__(self, archive: Path, method: bytes) -> None:
        self.method = METHOD_NAMES.get(method, f"number {method.hex()}")
        super().__init__(
            f"{archive} is compressed by the method {self.method}, which cannot be decoded here; "
            f"the archive may be whole. Unpack it with 7-Zip (`7z x {archive}`), pack its folder "
            f"again (`7z a {archive.name} {archive.stem}`), and put the new archive into data/raw."
        )


class Member(NamedTuple):
    """What the archive's header says of one image."""

    size: int  # bytes
    crc32: int


def identity(archive: Path) -> dict[str, Any]:
    """Return what tells the archive from any other: name, size and a hash of its two ends.

    The ends hold the archive's header and so the CRC of every member: the same identity means
    the same images, at a cost that does not grow with the archive.
    """
    with open_file(archive) as file:
        digest = hashlib.sha256(file.read(SIGNATURE.size))
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        digest.update(file.read())
    return {"name": archive.name, "bytes": size, "sha256_of_ends": digest.hexdigest()}


def open_file(archive: Path) -> IO[bytes]:
    """Open the archive's bytes."""
    try:
        return archive.open("rb")
    except OSError as error:
        raise UserError(f"{archive} could not be read: {error.strerror or error}.") from error


@contextmanager
def open_images(archive: Path, split: str) -> Iterator[tuple[dict[int, Member], Contents]]:
    """Yield the images `<split>/<id>.png` of an archive by id, and an iterator over their contents.

    The contents come as pairs of id and bytes, in the order of the archive, each after its
    checksum matched. Decoding begins at once, a few blocks ahead of what is taken.

    Raises
    ------
    DamagedArchiveError
        When the archive is damaged, holds anything else, or would unpack to far more than such
        images take; from the iterator, too.
    """
    with ThreadPoolExecutor(THREADS) as pool, ExitStack() as stack:
        with uncollected():
            opened = stack.enter_context(open_archive(archive))
            with damage_explained(archive):
                chunks = decoded_stream(opened, pool)
            members = read_members(opened, archive, split)
        yield members, contents(chunks, members, archive, split)


@contextmanager
def uncollected() -> Iterator[None]:
    """Stop the garbage collector: it would visit a header's million objects again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def open_archive(archive: Path) -> Iterator[Any]:
    """Open a 7z archive whose header is sound and not encrypted, as a `py7zr.SevenZipFile`."""
    import py7zr
    from py7zr.exceptions import PasswordRequired

    with open_file(archive) as file:
        check_signature(file, archive)
        with damage_explained(archive), header_limits():
            try:
                # Given a file and not a name, py7zr works in this thread alone, in order.
                opened = py7zr.SevenZipFile(file)
                encrypted = opened.needs_password()
            except PasswordRequired:
                encrypted = True
        if encrypted:
            raise DamagedArchiveError(f"{archive} is encrypted, which Kaggle's archive is not.")
        refuse_unknown_methods(opened, archive)
        yield opened


def refuse_unknown_methods(opened: Any, archive: Path) -> None:
    """Raise an UnsupportedMethodError if py7zr lacks a method by which the archive is compressed.

    The header's checksum was right: it is no damage that shows as an unknown method.
    """
    from py7zr.compressor import SupportedMethods

    streams = getattr(opened.header, "main_streams", None)
    for block in streams.unpackinfo.folders if streams else ():
        for coder in block.coders:
            if SupportedMethods.get_filter_id(coder) is None:
                raise UnsupportedMethodError(archive, coder["method"])


@contextmanager
def header_limits() -> Iterator[None]:
    """Bound what py7zr spends on a header.

    Its own limits stop at 8 million members, which an archive of 5 kB can declare and which take
    it 4 GB of memory.
    """
    from py7zr import archiveinfo

    before = archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE
    archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE = MAX_MEMBERS, MAX_HEADER_BYTES
    try:
        yield
    finally:
        archiveinfo.MAX_NUMFILES, archiveinfo.MAX_HEADER_SIZE = before


def check_signature(file: IO[bytes], archive: Path) -> None:
    """Raise a DamagedArchiveError if the archive's first bytes are not those of a sane archive."""
    start = file.read(SIGNATURE.size)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not start.startswith(MAGIC):
        raise DamagedArchiveError(
            f"{archive} is not a 7z archive: it begins with {start[:6]!r}, not {MAGIC!r}."
        )
    if len(start) < SIGNATURE.size:
        raise DamagedArchiveError(f"{archive} is cut off after {length} bytes.")
    _, crc, header_offset, header_bytes, _ = SIGNATURE.unpack(start)
    if crc != zlib.crc32(start[12:]):
        raise DamagedArchiveError(f"{archive} is damaged: its first 32 bytes fail their checksum.")
    if header_bytes > MAX_HEADER_BYTES:
        raise DamagedArchiveError(
            f"{archive} declares a header of {header_bytes:,} bytes, at most "
            f"{MAX_HEADER_BYTES:,} were expected."
        )
    whole = SIGNATURE.size + header_offset + header_bytes
    if whole > length:
        raise DamagedArchiveError(
            f"{archive} is cut off: it should have {whole:,} bytes and has {length:,}."
        )


@contextmanager
def damage_explained(archive: Path) -> Iterator[None]:
    """Turn whatever py7zr raises on a damaged archive into one sentence.

    Its parsers and decompressors raise a dozen kinds of exceptions: what they have in common is
    that the archive is no good.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise damaged(archive, error) from error


def damaged(archive: Path, error: Exception, place: str = "") -> DamagedArchiveError:
    """Return the sentence for an archive on which a decoder raised `error`."""
    return DamagedArchiveError(
        f"{archive} is damaged{place} ({type(error).__name__}: {str(error)[:200]}). "
        "Nothing was extracted."
    )


def read_members(opened: Any, archive: Path, split: str) -> dict[int, Member]:
    """Return the images in the archive's header by id; refuse whatever else it holds."""
    with damage_explained(archive):
        entries = list(opened.files)
    path = re.compile(rf"{re.escape(split)}/([1-9][0-9]{{0,17}})\.png")
    members: dict[int, Member] = {}
    for entry in entries:
        name = entry.filename
        if name == split and entry.is_directory and entry.emptystream:
            continue
        match = path.fullmatch(name)
        fault = fault_of(entry) if match else f"expected only {split}/<id>.png"
        if fault:
            raise refusal(archive, name, fault)
        image_id = int(match[1])  # type: ignore[index]
        if image_id in members:
            raise refusal(archive, name, "twice, expected once")
        members[image_id] = Member(entry.uncompressed, entry.crc32)
    refuse_bomb(members, archive)
    return members


def fault_of(entry: Any) -> str | None:
    """Return what is wrong with a member that has the right name, or None."""
    if not entry.is_file or entry.is_directory:
        return "a link or another special file, expected a plain file"
    if not 0 < entry.uncompressed <= MAX_MEMBER_BYTES:
        return f"of {entry.uncompressed:,} bytes, expected 1 to {MAX_MEMBER_BYTES:,}"
    if entry.crc32 is None:
        return "without a checksum"
    return None


def refusal(archive: Path, name: str, fault: str) -> DamagedArchiveError:
    """Return the error for a member; its name may be as hostile as the rest, and is shown safe."""
    return DamagedArchiveError(f"{archive} holds {name[:100]!a}: {fault}. Nothing was left.")


def refuse_bomb(members: dict[int, Member], archive: Path) -> None:
    """Raise a DamagedArchiveError if the images would take far more room than such images do."""
    total, limit = sum(m.size for m in members.values()), MAX_MEAN_BYTES * len(members)
    if total > limit:
        raise DamagedArchiveError(
            f"{archive} would unpack to {total:,} bytes; {len(members):,} images of "
            f"{competition.IMAGE_SIZE} x {competition.IMAGE_SIZE} pixels take less than "
            f"{limit:,}. Nothing was extracted."
        )


def contents(
    chunks: Iterator[bytes], members: dict[int, Member], archive: Path, split: str
) -> Contents:
    """Yield id and content of each member, cut from the archive's stream, once its checksum holds.

    A content is valid until the next one is taken.
    """
    pieces = cut(chunks, [member.size for member in members.values()])
    for image_id, member in members.items():
        try:
            content = next(pieces)
        except Exception as error:
            raise damaged(archive, error, f" at {split}/{image_id}.png or soon after") from error
        if zlib.crc32(content) != member.crc32:
            raise refusal(archive, f"{split}/{image_id}.png", "its content fails its checksum")
        yield image_id, content


def cut(chunks: Iterator[bytes], sizes: Iterable[int]) -> Iterator[memoryview]:
    """Cut a stream that comes in chunks into pieces of the given sizes in bytes."""
    buffer, start = memoryview(b""), 0
    for size in sizes:
        while start + size > len(buffer):
            chunk = next(chunks, None)
            if chunk is None:
                raise EOFError("its content ends early")
            buffer, start = memoryview(bytes(buffer[start:]) + chunk), 0
        yield buffer[start : start + size]
        start += size


def decoded_stream(opened: Any, pool: ThreadPoolExecutor) -> Iterator[bytes]:
    """Return the contents of all members, one after the other, in chunks; begin to decode them."""
    pieces = in_order(submitted_pieces(opened, pool), THREADS + 1)
    return chunks_of(pieces)


def chunks_of(pieces: Iterator[tuple[list[bytes], Exception | None]]) -> Iterator[bytes]:
    """Yield the chunks of pieces; raise what ended one, after all that came before it."""
    for chunks, error in pieces:
        yield from chunks
        if error is not None:
            raise error


def submitted_pieces(opened: Any, pool: ThreadPoolExecutor) -> Iterator[Future]:
    """Submit the decoding of one piece after the other, whenever one more is asked for."""
    streams = getattr(opened.header, "main_streams", None)
    if streams is None:
        return
    packed, blocks = streams.packinfo, streams.unpackinfo.folders
    if len(packed.packsizes) != len(blocks):
        raise ValueError("several packed streams a block")
    position = SIGNATURE.size + packed.packpos
    for block, size in zip(blocks, packed.packsizes, strict=True):
        opened.fp.seek(position)
        is_lzma2 = len(block.coders) == 1 and block.coders[0]["method"] == LZMA2
        submit = submit_lzma2 if is_lzma2 else submit_other
        last = None
        for last in submit(opened.fp, block, size, pool):
            yield last
        if last is not None:
            last.exception()  # done with the file, before it is moved to the next block
        position += size


def submit_lzma2(file: IO[bytes], block: Any, size: int, pool: ThreadPoolExecutor) -> Iterator:
    """Submit a block of LZMA2, in pieces; those after a reset of the dictionary stand alone."""
    (properties,) = block.coders[0]["properties"]
    dictionary = (2 | properties & 1) << (properties // 2 + 11)
    options = {"id": lzma.FILTER_LZMA2, "dict_size": min(dictionary, block.get_unpack_size())}
    decoder, last = None, None
    for piece, resets in lzma2_pieces(file, size):
        if resets or decoder is None:
            decoder, last = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]), None
        last = pool.submit(run_after, last, decode_piece, decoder, piece)
        yield last


def decode_piece(decoder: Any, piece: list[bytes]) -> tuple[list[bytes], Exception | None]:
    """Return the decoded chunks of a piece, and what ended it early if anything did."""
    decoded = []
    try:
        for chunk in piece:
            decoded.append(decoder.decompress(chunk))
    except Exception as error:
        return decoded, error
    return decoded, None


def lzma2_pieces(file: IO[bytes], size: int) -> Iterator[tuple[list[bytes], bool]]:
    """Yield pieces, lists of LZMA2 chunks, and whether each begins with a new dictionary."""
    piece: list[bytes] = []
    piece_bytes, piece_resets = 0, True
    for chunk, unpacked, resets in lzma2_chunks(file, size):
        if piece and (resets or piece_bytes >= PIECE_BYTES):
            yield piece, piece_resets
            piece, piece_bytes, piece_resets = [], 0, resets
        piece.append(chunk)
        piece_bytes += max(unpacked, len(chunk))
    if piece:
        yield piece, piece_resets


def lzma2_chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, bool]]:
    """Yield the chunks of an LZMA2 stream, its bytes decoded, and whether it resets the dictionary.

    A chunk's first byte is its kind. From 0x80 on, the chunk is compressed and tells both sizes,
    each less one; from 0xC0 on, a byte of properties follows. 1 and 2 are stored, 0 is the end
    (xz-file-format and the LZMA SDK's Lzma2Dec.c).
    """
    end = file.tell() + size
    while (kind := file.read(1)) not in (b"", b"\0"):
        control = kind[0]
        if 2 < control < 0x80:
            raise ValueError(f"an LZMA2 chunk of the unknown kind {control}")
        is_compressed = control >= 0x80
        head = file.read(4 if is_compressed else 2)
        unpacked = int.from_bytes(head[:2]) + 1
        rest = unpacked
        if is_compressed:
            unpacked += (control & 0x1F) << 16
            rest = int.from_bytes(head[2:]) + 1 + (control >= 0xC0)
        if file.tell() + rest > end:
            raise EOFError("its packed content ends early")
        yield kind + head + file.read(rest), unpacked, control == 1 or control >= 0xE0


def submit_other(file: IO[bytes], block: Any, size: int, pool: ThreadPoolExecutor) -> Iterator:
    """Submit a block of any other method to py7zr's decoder, piece after piece."""
    decoder, last = block.get_decompressor(size), None
    for start in range(0, block.get_unpack_size(), PIECE_BYTES):
        length = min(PIECE_BYTES, block.get_unpack_size() - start)
        last = pool.submit(run_after, last, decode_other, decoder, file, length)
        yield last


def decode_other(
    decoder: Any, file: IO[bytes], length: int
) -> tuple[list[bytes], Exception | None]:
    """Return the next `length` decoded bytes, in chunks, and what ended them early if anything."""
    decoded = []
    try:
        while length:
            position = file.tell()
            decoded.append(decoder.decompress(file, min(length, 2**20)))
            length -= len(decoded[-1])
            if not decoded[-1] and file.tell() == position:
                raise EOFError("its packed content ends early")
    except Exception as error:
        return decoded, error
    return decoded, None
