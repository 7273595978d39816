"""The archives in `data/raw` → one folder of PNGs and one manifest a split.

An archive is data from elsewhere: its header is read and judged before anything is written, every
image is written under a name made from its id and never from the archive's path, and a folder
appears under its final name only when each of its images matched its checksum.
"""

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from kaggle_cifar import competition, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import progress_bar, say
from kaggle_cifar.storage import (
    Layout,
    atomic_write,
    explain_os_error,
    lock,
    partial_path,
    read_json,
    remove_folder,
)

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

PNG_START = b"\x89PNG\r\n\x1a\n" + struct.pack(
    ">I4sII", 13, b"IHDR", competition.IMAGE_SIZE, competition.IMAGE_SIZE
)
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

REMEDY = "Delete it and run `kaggle-cifar download` again."


class Member(NamedTuple):
    """What the archive's header says of one image."""

    size: int  # bytes
    crc32: int


def extract(layout: Layout) -> None:
    """Extract `train.7z` and `test.7z` into `data/train` and `data/test`.

    A split that was extracted from the very archive that is there now is left alone.

    Raises
    ------
    UserError
        When an archive is missing, damaged, or holds anything but the images that the CSV beside
        it names; when the disk is full; when another process extracts.
    """
    with lock(layout.data, "extraction"):
        for split in ("train", "test"):
            extract_split(layout, split)


def extract_split(layout: Layout, split: str) -> None:
    """Extract the archive of one split unless that was done before."""
    archive = layout.raw / f"{split}.7z"
    folder, manifest = layout.images(split), layout.manifest(split)
    remove_leftovers(folder)
    if is_extracted(archive, folder, manifest):
        say(f"{folder} is extracted already: left as it is.")
        return
    if not archive.exists():
        raise UserError(
            f"{archive} is missing and {folder} is not extracted. Run `kaggle-cifar download`, "
            "or `kaggle-cifar sample` for a small competition without Kaggle."
        )
    extract_archive(archive, folder, manifest, expected_ids(layout, split))


def expected_ids(layout: Layout, split: str) -> Iterable[int]:
    """Return the ids that the archive of `split` must hold."""
    if split == "test":
        return tables.expected_ids(layout)
    ids, _ = tables.read_training_labels(layout.raw / competition.TRAIN_LABELS)
    return ids.tolist()


def is_extracted(archive: Path, folder: Path, manifest: Path) -> bool:
    """Tell whether `folder` is whole and made from `archive`, or from one that is gone since."""
    record = record_path(manifest)
    if not (folder.is_dir() and manifest.exists() and record.exists()):
        return False
    made_from = read_json(record)
    if archive.exists() and made_from.get("archive") != identity(archive):
        return False
    return len(os.listdir(folder)) >= made_from.get("images", 0)  # noqa: PTH208 - a third of the time


def record_path(manifest: Path) -> Path:
    """Return the place of the JSON that says from which archive a manifest was made."""
    return manifest.with_suffix(".json")


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


def extract_archive(
    archive: Path, folder: Path, manifest: Path, expected_ids: Iterable[int]
) -> None:
    """Extract the images `<folder's name>/<id>.png` of `archive` to `folder`; write `manifest`.

    The images grow in a hidden folder beside `folder`, which is removed on any failure; what was
    there before stays until the new images are whole. The manifest is a CSV (`id,size,crc32`,
    decimal, in the order of the ids); a JSON beside it identifies the archive.

    Raises
    ------
    UserError
        When the archive is damaged or holds anything else, when `folder` was not made by this
        program, when the disk is full.
    """
    refuse_foreign_folder(folder, manifest)
    staging = partial_path(folder)
    with open_archive(archive) as opened:
        members = read_members(opened, archive, folder.name)
        refuse_other_ids(members, expected_ids, archive, folder.name)
        try:
            remove_leftovers(folder)
            staging.mkdir(parents=True)
            unpack(opened, archive, members, staging)
            publish(staging, folder, manifest, members, identity(archive))
        except OSError as error:
            raise explain_os_error(error, folder) from error
        finally:
            remove_folder(staging)
    say(f"Extracted {len(members):,} images to {folder}.")


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed extraction to `folder` left beside it."""
    try:
        remove_folder(partial_path(folder))
        remove_folder(replaced_path(folder))
    except OSError as error:
        raise explain_os_error(error, folder) from error


def replaced_path(folder: Path) -> Path:
    """Return the place where an older extraction waits for its removal."""
    return folder.with_name(f".{folder.name}.old")


def refuse_foreign_folder(folder: Path, manifest: Path) -> None:
    """Raise a UserError if `folder` holds something that this program did not extract."""
    if not folder.exists() or manifest.exists():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    raise UserError(
        f"{folder} is there, but was not extracted by this program, which would have written "
        f"{manifest} beside it: its images cannot be trusted to be whole. Move it away or delete "
        "it, then run `kaggle-cifar extract`."
    )


def open_file(archive: Path) -> IO[bytes]:
    """Open the archive's bytes."""
    try:
        return archive.open("rb")
    except OSError as error:
        raise UserError(f"{archive} could not be read: {error.strerror or error}.") from error


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
            raise UserError(f"{archive} is encrypted, which Kaggle's archive is not. {REMEDY}")
        yield opened


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
    """Raise a UserError if the archive's first bytes are not those of a whole, sane 7z archive."""
    start = file.read(SIGNATURE.size)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not start.startswith(MAGIC):
        raise UserError(
            f"{archive} is not a 7z archive: it begins with {start[:6]!r}, not {MAGIC!r}. {REMEDY}"
        )
    if len(start) < SIGNATURE.size:
        raise UserError(f"{archive} is cut off after {length} bytes. {REMEDY}")
    _, crc, header_offset, header_bytes, _ = SIGNATURE.unpack(start)
    if crc != zlib.crc32(start[12:]):
        raise UserError(f"{archive} is damaged: its first 32 bytes fail their checksum. {REMEDY}")
    if header_bytes > MAX_HEADER_BYTES:
        raise UserError(
            f"{archive} declares a header of {header_bytes:,} bytes, at most "
            f"{MAX_HEADER_BYTES:,} were expected. {REMEDY}"
        )
    whole = SIGNATURE.size + header_offset + header_bytes
    if whole > length:
        raise UserError(
            f"{archive} is cut off: it should have {whole:,} bytes and has {length:,}. {REMEDY}"
        )


@contextmanager
def damage_explained(archive: Path, writer: "ImageWriter | None" = None) -> Iterator[None]:
    """Turn whatever py7zr raises on a damaged archive into one sentence.

    Its parsers and decompressors raise a dozen kinds of exceptions: what they have in common is
    that the archive is no good.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        place = f" at {writer.name}" if writer and writer.name else ""
        raise UserError(
            f"{archive} is damaged{place} ({type(error).__name__}: {str(error)[:200]}). "
            f"Nothing was extracted. {REMEDY}"
        ) from error


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


def refusal(archive: Path, name: str, fault: str) -> UserError:
    """Return the error for a member; its name may be as hostile as the rest, and is shown safe."""
    return UserError(f"{archive} holds {name[:100]!a}: {fault}. Nothing was left. {REMEDY}")


def refuse_bomb(members: dict[int, Member], archive: Path) -> None:
    """Raise a UserError if the images would take far more room than such images do."""
    total, limit = sum(m.size for m in members.values()), MAX_MEAN_BYTES * len(members)
    if total > limit:
        raise UserError(
            f"{archive} would unpack to {total:,} bytes; {len(members):,} images of "
            f"{competition.IMAGE_SIZE} x {competition.IMAGE_SIZE} pixels take less than "
            f"{limit:,}. Nothing was extracted. {REMEDY}"
        )


def refuse_other_ids(
    members: dict[int, Member], expected_ids: Iterable[int], archive: Path, split: str
) -> None:
    """Raise a UserError if the ids in the archive are not the expected ones."""
    expected = set(expected_ids)
    for fault, ids in (
        ("lacks", expected - members.keys()),
        ("holds, unexpectedly,", members.keys() - expected),
    ):
        if ids:
            others = f" and {len(ids) - 1:,} others" if len(ids) > 1 else ""
            raise UserError(
                f"{archive} {fault} {split}/{min(ids)}.png{others}: it does not belong to the CSV "
                "files beside it. Nothing was extracted. Delete them all and run "
                "`kaggle-cifar download` again."
            )


class ImageWriter:
    """Takes one member after the other from py7zr and writes each to `folder` under its id.

    It is the `py7zr.WriterFactory` and, for every member again, the `Py7zIO`: py7zr asks for a
    member's writer, fills it, compares the checksum and only then closes it. With thousands of
    members a second, one object is cheaper than one a member.
    """

    def __init__(
        self, archive: Path, folder: Path, members: dict[int, Member], progress: tqdm
    ) -> None:
        self.archive = archive
        self.prefix = f"{folder}{os.sep}"
        self.members = members
        self.progress = progress
        self.written = 0
        self.name = ""
        self.content = bytearray()

    def create(self, filename: str) -> "ImageWriter":
        """Begin the member `filename`, a path that `read_members` let pass."""
        self.name = filename.rpartition("/")[2]
        self.id = int(self.name.removesuffix(".png"))
        self.member = self.members[self.id]
        self.content.clear()
        return self

    def write(self, chunk: bytes | bytearray) -> int:
        """Take the next bytes of the member."""
        self.content += chunk
        if len(self.content) > self.member.size:
            raise refusal(self.archive, self.name, "longer than the archive's header says")
        return len(chunk)

    def close(self) -> None:
        """Write the member, now that it is whole."""
        # py7zr compares checksums too, but with that of the entry it believes to be at work on:
        # this one ties the content to the id under which it is written.
        if zlib.crc32(self.content) != self.member.crc32:
            raise refusal(self.archive, self.name, "its content fails its checksum")
        if not self.content.startswith(PNG_START):
            size = competition.IMAGE_SIZE
            raise refusal(self.archive, self.name, f"not a PNG of {size} x {size} pixels")
        try:
            write_new_file(f"{self.prefix}{self.id}.png", self.content)
        except OSError as error:
            raise explain_os_error(error, Path(self.prefix)) from error
        self.written += 1
        self.progress.update()

    def seekable(self) -> bool:
        """Keep py7zr from rewinding."""
        return False


def write_new_file(path: str, content: bytes | bytearray) -> None:
    """Write a file that must not be there yet, at a fraction of what `Path.write_bytes` costs."""
    descriptor = os.open(path, CREATE, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def unpack(opened: Any, archive: Path, members: dict[int, Member], staging: Path) -> None:
    """Write all images of the opened archive to `staging`, in one pass."""
    with progress_bar(f"Extracting {archive.name}", len(members), "images") as progress:
        writer = ImageWriter(archive, staging, members, progress)
        with damage_explained(archive, writer):
            # The path is never written to: without one, py7zr would judge the members' names by
            # what happens to lie in the current directory.
            opened.extractall(staging.absolute(), factory=writer)
    if writer.written != len(members):
        raise UserError(
            f"{archive} gave {writer.written:,} of its {len(members):,} images: it is packed in a "
            f"way that py7zr misreads. Nothing was extracted. {REMEDY}"
        )


def publish(
    staging: Path,
    folder: Path,
    manifest: Path,
    members: dict[int, Member],
    archive_identity: dict[str, Any],
) -> None:
    """Put the images into place, with their manifest, instead of what was there.

    Folder, manifest and record are there together only when they belong together: the old folder
    goes before the new manifest comes, and the new folder comes last. A kill in between leaves no
    folder, and the next run extracts again.
    """
    old, record = replaced_path(folder), record_path(manifest)
    if hasattr(os, "sync"):  # once for all files: one by one takes minutes; Windows has it not
        os.sync()
    with atomic_write(record) as new_record, atomic_write(manifest) as new_manifest:
        new_manifest.write_text(manifest_csv(members), encoding="ascii", newline="\n")
        made_from = {"archive": archive_identity, "images": len(members)}
        new_record.write_text(json.dumps(made_from, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.replace(old)
    staging.replace(folder)
    remove_folder(old)


def manifest_csv(members: dict[int, Member]) -> str:
    """Return the manifest of the images, sorted by id."""
    rows = (f"{i},{members[i].size},{members[i].crc32}\n" for i in sorted(members))
    return "id,size,crc32\n" + "".join(rows)
