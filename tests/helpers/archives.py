"""Build 7z archives, valid ones and ones that no packer writes."""

import io
import lzma
import random
import struct
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import py7zr
from PIL import Image
from py7zr.archiveinfo import write_uint64

from kaggle_cifar.competition import SAMPLE_SUBMISSION, TRAIN_LABELS
from kaggle_cifar.files import ProjectPaths

UNIX_EXTENSION = 0x8000
COPY = [{"id": py7zr.FILTER_COPY}]
LZMA2 = [{"id": py7zr.FILTER_LZMA2, "preset": 0}]


def png(seed: int, size: tuple[int, int] = (32, 32)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def of_rows(rows: bytes, header: bytes = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)) -> bytes:
    """Return a PNG with these rows; each row starts with its filter byte."""
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def images(split: str, ids: Iterable[int]) -> dict[str, bytes]:
    return {f"{split}/{i}.png": png(i) for i in ids}


def pack(
    path: Path,
    members: dict[str, bytes] | list[tuple[str, bytes]],
    tamper: Callable[[Any], object] | None = None,
    filters: Any = LZMA2,
    **options: Any,
) -> Path:
    """Write an archive with the names as given; `tamper` may change its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = members.items() if isinstance(members, dict) else members
    with py7zr.SevenZipFile(path, "w", filters=filters, **options) as archive:
        for number, (name, content) in enumerate(pairs):
            archive.writestr(content, f"member{number}")
            archive.header.files_info.files[-1]["filename"] = name
        if tamper:
            tamper(archive.header)
    return path


def pack_competition(
    project: ProjectPaths, train_ids: Iterable[int], test_ids: Iterable[int]
) -> None:
    """Write the four files of a competition with these images."""
    for split, name, ids in (
        ("train", TRAIN_LABELS, train_ids),
        ("test", SAMPLE_SUBMISSION, test_ids),
    ):
        pack(project.raw / f"{split}.7z", images(split, ids))
        rows = "".join(f"{i},cat\n" for i in ids)
        (project.raw / name).write_bytes(f"id,label\n{rows}".encode())


def random_archive(split: str, rng: random.Random) -> bytes:
    """Return an archive of the expected names whose contents are random bytes."""
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for number in range(1, 14):
            archive.writestr(rng.randbytes(16_000), f"{split}/{number}.png")
    return buffer.getvalue()


def with_attributes(attributes: int) -> Callable[[Any], None]:
    """Return a function that gives the last member these attributes."""

    def tamper(header: Any) -> None:
        header.files_info.files[-1]["attributes"] = attributes

    return tamper


def unix_mode(mode: int) -> int:
    return UNIX_EXTENSION | mode << 16


def archive_of_header(
    path: Path, next_header: bytes, packed: bytes = b"", size: int | None = None
) -> Path:
    """Write an archive that is only a header; `size` is the one that it declares."""
    declared = len(next_header) if size is None else size
    start = struct.pack("<QQI", len(packed), declared, zlib.crc32(next_header))
    magic = b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(magic + start + packed + next_header)
    return path


def header_bomb(path: Path, count: int) -> Path:
    """Write an archive of a few kB whose packed header declares `count` members."""
    names = b"\0" + b"a\0\0\0" * count
    header = b"\x01\x05" + uint64(count) + b"\x11" + uint64(len(names)) + names + b"\0\0"
    lzma2 = [{"id": lzma.FILTER_LZMA2, "preset": 0}]
    packed = lzma.compress(header, lzma.FORMAT_RAW, filters=lzma2)
    streams = b"\x17\x06" + uint64(0) + uint64(1) + b"\x09" + uint64(len(packed)) + b"\0"
    folders = b"\x07\x0b\x01\0\x01\x21\x21\x01\x18\x0c" + uint64(len(header)) + b"\0\0"
    return archive_of_header(path, streams + folders, packed)


def uint64(value: int) -> bytes:
    buffer = io.BytesIO()
    write_uint64(buffer, value)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below `folder` except the lock, with its content."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
        if path.name != ".kaggle-cifar.lock"
    }
