"""The archives in `data/raw` → one folder of PNGs and one manifest a split.

An archive is data from elsewhere: its header is read and judged before anything is written, every
image is written under a name made from its id and never from the archive's path, and a folder
appears under its final name only when each of its images matched its checksum and decodes.

The folder may be a link: the images go to the folder that it leads to, on any disk.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from kaggle_cifar import competition
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data import labels
from kaggle_cifar.data.archive import ArchiveMember, Contents, identity, open_images
from kaggle_cifar.data.decoding import read_file
from kaggle_cifar.data.manifest import Manifest, read_manifest
from kaggle_cifar.data.parallel import THREADS, in_order
from kaggle_cifar.data.png import UndecodableError, is_plain_png, require_decodable
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import (
    ProjectPaths,
    atomic_write,
    lock,
    remove_staged,
    set_aside,
    staged_folder,
)
from kaggle_cifar.ownership import (
    RESERVED,
    ForeignPathError,
    read_record,
    record_of,
    regular_file,
)

RECORD = "extraction"  # the kind of record beside a manifest
CHECKED = 128  # images that a thread checks at once
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class BrokenMemberError(UserError):
    """An archive is intact, but one of its images does not decode; `member` says which."""

    def __init__(self, archive: Path, member: str, what: str) -> None:
        self.member = member
        super().__init__(
            f"{archive} holds {member}, which {what}. Expected a PNG that decodes to "
            f"{competition.IMAGE_SIZE} x {competition.IMAGE_SIZE} RGB pixels. Its checksum is "
            "right, so the archive was packed with this file. Nothing was extracted. "
            "Delete the archive and run `kaggle-cifar download`. If the new archive is the same, "
            "the image is broken at its source."
        )


def extract(project: ProjectPaths, told: Collection[str] = ()) -> None:
    """Extract `train.7z` and `test.7z` into `data/train` and `data/test`.

    A split that was extracted from the very archive that is there now is left alone, which is
    said unless it is one of `told`, which this very command extracted.

    Raises
    ------
    UserError
        When an archive is missing, damaged, or holds anything but the images that the CSV beside
        it names; when the disk is full; when another process extracts.
    """
    for split in ("train", "test"):
        archive = project.raw / f"{split}.7z"
        if not extract_split(project, archive, split) and split not in told:
            say(f"{project.images(split)} is extracted already: left as it is.")


def extract_split(project: ProjectPaths, archive: Path, split: str) -> bool:
    """Extract the archive of one split; return False when that was done before."""
    with lock(project.data, "extraction"):
        return extract_unlocked(project, archive, split)


def extract_unlocked(project: ProjectPaths, archive: Path, split: str) -> bool:
    """Do the work of `extract_split`, whose lock is held."""
    folder, manifest = project.images(split), project.manifest(split)
    remove_staged(real_folder(folder))
    if is_extracted(archive, folder, manifest):
        return False
    if not archive.exists():
        raise UserError(
            f"{archive} is missing and {folder} is not extracted. Run `kaggle-cifar download`, "
            f"or `kaggle-cifar sample {archive.parent}` for a small competition without Kaggle."
        )
    extract_archive(archive, folder, manifest, expected_ids(project, split))
    return True


def expected_ids(project: ProjectPaths, split: str) -> Iterable[int]:
    """Return the ids that the archive of `split` must hold."""
    if split == "test":
        return labels.expected_ids(project)
    ids, _ = labels.read_training_labels(project.raw / competition.TRAIN_LABELS)
    return ids.tolist()


def is_extracted(archive: Path, folder: Path, manifest: Path) -> bool:
    """Whether `folder` holds each image of `archive`, or of one that is gone since.

    Raises
    ------
    ForeignPathError
        When the manifest or the record beside it is not this program's.
    """
    listed = own_manifest(manifest)
    if listed is None or not folder.is_dir():
        return False
    made_from = read_record(record_path(manifest), RECORD)
    if archive.exists() and made_from.get("archive") != identity(archive):
        return False
    return image_names(listed) <= set(os.listdir(folder))  # noqa: PTH208 - a third of the time


def record_path(manifest: Path) -> Path:
    """Return the place of the record that says from which archive a manifest was made."""
    return manifest.with_suffix(".json")


def own_manifest(path: Path) -> Manifest | None:
    """Return the manifest at `path`; None if none is there.

    Raises
    ------
    ForeignPathError
        When the file, or the one in its record's place, is not as this program wrote it.
    """
    record = read_record(record_path(path), RECORD)
    try:
        content = regular_file(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    if record.get("manifest_sha256") != hashlib.sha256(content).hexdigest():
        raise ForeignPathError(
            path,
            f"{path} is not a manifest that this program wrote, or it was changed since, so it is "
            "left as it is. Move it away with the folder of images beside it, then run "
            "`kaggle-cifar extract`.",
        )
    return read_manifest(path)


def image_names(manifest: Manifest) -> set[str]:
    """Return the name of each image's file."""
    return {f"{image_id}.png" for image_id in manifest.ids.tolist()}


def extract_archive(
    archive: Path, folder: Path, manifest: Path, expected_ids: Iterable[int]
) -> None:
    """Extract the images `<folder's name>/<id>.png` of `archive` to `folder`; write `manifest`.

    The images grow in a folder of reserved name beside `folder`, which is removed on any failure.
    What was there before stays until the new images are whole. The manifest is a CSV
    (`id,size,crc32`, decimal, in the order of the ids); a record beside it identifies the archive.

    Raises
    ------
    ForeignPathError
        When `folder` holds anything that this program did not extract.
    UserError
        When the archive is damaged or holds anything else, or when the disk is full.
    """
    require_own_images(folder, manifest)
    with open_images(archive, folder.name) as (members, contents):
        check_other_ids(members, expected_ids, archive, folder.name)
        with staged_folder(real_folder(folder)) as staging:
            unpack(contents, archive, folder.name, len(members), staging)
            replace_manifest(folder, manifest, members, identity(archive))
    say(f"Extracted {len(members):,} images to {folder}.")


def real_folder(folder: Path) -> Path:
    """Return the folder itself that a folder of images is or links to."""
    return Path(os.path.realpath(folder))


def require_own_images(folder: Path, manifest: Path) -> None:
    """Raise a UserError unless `folder` may be replaced by a new one.

    Raises
    ------
    ForeignPathError
        When it holds anything but images that `manifest` lists; the first is its `path`.
    UserError
        When it is a link that leads nowhere, or the top of a disk.
    """
    listed = own_manifest(manifest)
    real = real_folder(folder)
    if os.path.lexists(real) and not real.is_dir():
        raise ForeignPathError(folder, f"{folder} is not a folder, and is left as it is.")
    if os.path.ismount(real):
        raise UserError(
            f"{folder} leads to {real}, the top of a disk, which cannot be replaced as a whole. "
            f"Make a folder on that disk, and make {folder} a link to it."
        )
    if folder.is_symlink() and not real.parent.is_dir():
        raise UserError(
            f"{folder} is a link to {real}, but {real.parent} is missing. Mount the disk or make "
            "that folder, then run this again."
        )
    foreign = foreign_names(real, set() if listed is None else image_names(listed))
    if listed is not None and not foreign:
        foreign = changed_images(real, listed)
    if foreign:
        others = f" and {len(foreign) - 1:,} others" if len(foreign) > 1 else ""
        raise ForeignPathError(
            folder / foreign[0],
            f"{folder} holds {foreign[0]}{others}, which this program did not write like that. "
            "Extraction "
            "replaces the whole folder, so nothing was touched. Move what is yours away, then run "
            "`kaggle-cifar extract`.",
        )


def changed_images(folder: Path, listed: Manifest) -> list[str]:
    """Return the files, if they are there, whose content is not what was extracted."""
    changed = []
    for image_id, checksum in zip(listed.ids.tolist(), listed.checksums.tolist(), strict=True):
        try:
            content = read_file(f"{folder}/{image_id}.png")
        except FileNotFoundError:
            continue
        if zlib.crc32(content) != checksum:
            changed.append(f"{image_id}.png")
    return changed


def foreign_names(folder: Path, own_names: set[str]) -> list[str]:
    """Return what a folder, if it is there, holds besides regular files of the given names."""
    if not folder.exists():
        return []
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if not (entry.name in own_names and entry.is_file(follow_symlinks=False))
            and not entry.name.startswith(RESERVED)
        )


def check_other_ids(
    members: dict[int, ArchiveMember], expected_ids: Iterable[int], archive: Path, split: str
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


def write_new_file(path: str, content: bytes | memoryview) -> None:
    """Write a file that must not be there yet, at a fraction of what `Path.write_bytes` costs."""
    descriptor = os.open(path, CREATE, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def unpack(contents: Contents, archive: Path, split: str, count: int, staging: Path) -> None:
    """Write each image to `staging` under its id, once it is known to decode."""
    prefix = f"{staging}{os.sep}"
    with (
        progress_bar(f"Extracting {archive.name}", count, "images") as progress,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for checked in in_order(submitted_checks(contents, pool), THREADS + 1):
            for image_id, content, is_plain in checked:
                if not is_plain:
                    check_undecodable(content, archive, f"{split}/{image_id}.png")
                write_new_file(f"{prefix}{image_id}.png", content)
            progress.update(len(checked))


def submitted_checks(contents: Contents, pool: ThreadPoolExecutor) -> Iterator[Future]:
    """Submit the check of one group of images after the other, whenever one more is asked for."""
    copies = ((image_id, bytes(content)) for image_id, content in contents)
    while group := list(islice(copies, CHECKED)):
        yield pool.submit(checked_group, group)


def checked_group(group: list[tuple[int, bytes]]) -> list[tuple[int, bytes, bool]]:
    """Return the id and the content of each image, and whether it is a whole and plain PNG."""
    return [(image_id, content, is_plain_png(content)) for image_id, content in group]


def check_undecodable(content: bytes, archive: Path, member: str) -> None:
    """Raise a BrokenMemberError unless an image decodes to 32 x 32 RGB pixels."""
    try:
        require_decodable(content)
    except UndecodableError as error:
        raise BrokenMemberError(archive, member, str(error)) from None


def replace_manifest(
    folder: Path,
    manifest: Path,
    members: dict[int, ArchiveMember],
    archive_identity: dict[str, Any],
) -> None:
    """Set the old images and their manifest aside, and write the manifest of the staged images.

    Folder, manifest and record exist together only if they belong together: the old folder and
    manifest go before the new record appears, and the new folder appears last. A kill in between
    leaves no folder, and the next run extracts again. The images are not flushed to the disk: if
    the power fails before the system does that, the checksum of an image that is read differs.

    Raises
    ------
    ForeignPathError
        When `folder` holds anything that this program did not extract.
    """
    require_own_images(folder, manifest)
    real, text = real_folder(folder), manifest_csv(members)
    made_from = {
        "archive": archive_identity,
        "manifest_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    with atomic_write(manifest) as new_manifest, atomic_write(record_path(manifest)) as new_record:
        new_manifest.write_text(text, encoding="ascii", newline="\n")
        new_record.write_text(
            json.dumps(record_of(RECORD, made_from), indent=2) + "\n", encoding="utf-8"
        )
        set_aside(real)
        regular_file(manifest).unlink(missing_ok=True)


def manifest_csv(members: dict[int, ArchiveMember]) -> str:
    """Return the manifest of the images, sorted by id."""
    rows = (f"{i},{members[i].size},{members[i].crc32}\n" for i in sorted(members))
    return "id,size,crc32\n" + "".join(rows)
