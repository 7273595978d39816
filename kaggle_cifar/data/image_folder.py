"""One split's folder of images with its manifest, replaced together and only as a whole.

New images are staged under a reserved name. The folder that is there stays until they are
complete, and is replaced only if this program wrote each file in it. The manifest is a CSV
(`id,size,crc32`, decimal, sorted by id). A JSON record next to it identifies the archive.

The folder may be a link. Then the images go to the folder that it leads to, on any disk.
"""

import hashlib
import json
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kaggle_cifar.data.archive import ArchiveMember, identity
from kaggle_cifar.data.decoding import read_file
from kaggle_cifar.data.manifest import Manifest, images_of, read_manifest
from kaggle_cifar.data.sources import how_to_extract
from kaggle_cifar.errors import DataMissingError, UserError
from kaggle_cifar.files import atomic_write, explain_os_error
from kaggle_cifar.ownership import (
    RESERVED,
    ForeignPathError,
    read_record,
    record_of,
    regular_file,
)
from kaggle_cifar.staging import real_folder, set_aside, staged_folder

RECORD = "extraction"  # the kind of record next to a manifest
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

# What changes with a file's content, by the file's name.
FileStates = dict[str, tuple[int, ...]]


class ManifestMissingError(DataMissingError):
    """The manifest at `path` is missing, though its record is there."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            f"{path} is missing. Without it, this program cannot know which files in "
            f"{images_of(path)} it wrote, so nothing was touched. {how_to_start_again(path)}",
        )


def how_to_start_again(manifest: Path) -> str:
    """Return the sentences on what to do if the images cannot be replaced."""
    folder = images_of(manifest)
    there = [path for path in (folder, manifest, record_path(manifest)) if path.exists()]
    return f"Restore it, or move {' and '.join(map(str, there))} away. {how_to_extract(folder)}"


def is_extracted(archive: Path, folder: Path, manifest: Path) -> bool:
    """Return whether `folder` has every image of `archive`, or of one that was deleted.

    Raises
    ------
    ForeignPathError
        If this program did not write the manifest or its record.
    """
    listed = own_manifest(manifest)
    if listed is None or not folder.is_dir():
        return False
    record = read_record(record_path(manifest), RECORD)
    if archive.exists() and record.get("archive") != identity(archive):
        return False
    return image_names(listed) <= set(os.listdir(folder))  # noqa: PTH208 - a third of the time


@contextmanager
def staged_images(
    folder: Path, manifest: Path, made_from: dict[str, Any]
) -> Iterator["StagedImages"]:
    """Yield new images, still empty, which replace `folder` and `manifest` if the block succeeds.

    `made_from` identifies the archive, as `identity` does. If the block raises, the new images are
    removed and everything stays as it was.

    Raises
    ------
    ForeignPathError
        If `folder` or the path of `manifest` has anything that this program did not write, or gets
        it during the block.
    UserError
        If `folder` cannot be replaced, the disk is full or it cannot be written.
    """
    try:
        replaceable = require_own_images(folder, manifest)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    with staged_folder(folder) as staging:
        staged = StagedImages(staging)
        yield staged
        require_unchanged(folder, manifest, replaceable)
        replace_manifest(folder, manifest, staged.members, made_from)


class StagedImages:
    """New images in a staging folder; `members` lists them by id."""

    def __init__(self, staging: Path) -> None:
        self.members: dict[int, ArchiveMember] = {}
        self.prefix = f"{staging}{os.sep}"

    def write(self, image_id: int, content: bytes) -> None:
        """Write one image, several times faster than `Path.write_bytes`."""
        descriptor = os.open(f"{self.prefix}{image_id}.png", CREATE, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        self.members[image_id] = ArchiveMember(len(content), zlib.crc32(content))


def replace_manifest(
    folder: Path, manifest: Path, members: dict[int, ArchiveMember], made_from: dict[str, Any]
) -> None:
    """Set the old images aside, and replace their manifest and record with those of the new ones.

    The old folder and manifest are removed before the new record is written, and the new folder
    comes last, from `staged_folder`. So the three exist together only if they belong together.
    After a kill in between there is no folder, and the next run extracts again. The images are not
    flushed to the disk: after a power failure, their checksums show which are damaged.
    """
    text = manifest_csv(members)
    digest = hashlib.sha256(text.encode()).hexdigest()
    record = record_of(RECORD, {"archive": made_from, "manifest_sha256": digest})
    with (
        atomic_write(manifest) as new_manifest,
        atomic_write(record_path(manifest)) as new_record,
    ):
        new_manifest.write_text(text, encoding="ascii", newline="\n")
        new_record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        set_aside(folder)
        regular_file(manifest).unlink(missing_ok=True)


# Places


def record_path(manifest: Path) -> Path:
    """Return the path of the record that identifies the archive of a manifest."""
    return manifest.with_suffix(".json")


# The manifest


def manifest_csv(members: dict[int, ArchiveMember]) -> str:
    """Return the manifest of the images, sorted by id."""
    rows = (f"{i},{members[i].size},{members[i].crc32}\n" for i in sorted(members))
    return "id,size,crc32\n" + "".join(rows)


def own_manifest(path: Path) -> Manifest | None:
    """Return the manifest at `path`, or None if there is none.

    Raises
    ------
    ForeignPathError
        If this program did not write the file or its record.
    """
    record = read_record(record_path(path), RECORD)
    try:
        content = regular_file(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    if not record:
        raise ForeignPathError(
            path,
            f"{record_path(path)} is missing. Without it, this program cannot know whether it "
            f"wrote {path}, so nothing was touched. {how_to_start_again(path)}",
        )
    if record.get("manifest_sha256") != hashlib.sha256(content).hexdigest():
        raise ForeignPathError(
            path,
            f"{path} is not the manifest that this program wrote: it was replaced or changed. "
            f"Nothing was touched. {how_to_start_again(path)}",
        )
    return read_manifest(path)


def image_names(manifest: Manifest) -> set[str]:
    """Return the name of each image's file."""
    return {f"{image_id}.png" for image_id in manifest.ids.tolist()}


# Ownership


def require_own_images(folder: Path, manifest: Path) -> FileStates:
    """Return the state of each file in `folder`, which may be replaced.

    Raises
    ------
    ForeignPathError
        If it contains anything but unchanged images that `manifest` lists.
    UserError
        If it is a link that leads nowhere, or the top of a disk.
    """
    listed, real = own_manifest(manifest), real_folder(folder)
    check_place(folder, real)
    found = file_states(real)  # before the contents are read, so that a later change shows
    if found and listed is None and record_path(manifest).exists():
        raise ManifestMissingError(manifest)
    expected = image_names(listed) if listed is not None else set()
    foreign = {name for name, (mode, *_) in found.items() if not stat.S_ISREG(mode)}
    foreign |= found.keys() - expected
    if listed is not None and not foreign:
        foreign = changed_images(real, listed)
    check_foreign(folder, foreign)
    return found


def require_unchanged(folder: Path, manifest: Path, before: FileStates) -> None:
    """Raise what `require_own_images` raises for what appeared or changed since `before`.

    It reads no image again: a change of its content changes its size or times.
    """
    own_manifest(manifest)
    real = real_folder(folder)
    check_place(folder, real)
    now = file_states(real)
    check_foreign(folder, {name for name in now if now[name] != before.get(name)})


def check_place(folder: Path, real: Path) -> None:
    """Raise a UserError if `folder`, which leads to `real`, cannot be replaced as a whole."""
    if os.path.lexists(real) and not real.is_dir():
        raise ForeignPathError(folder, f"{folder} is not a folder. It was not touched.")
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


def file_states(folder: Path) -> FileStates:
    """Return the mode, size and times of each file in a folder; none if it is missing."""
    if not folder.exists():
        return {}
    states: FileStates = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(RESERVED):
                found = entry.stat(follow_symlinks=False)
                times = found.st_mtime_ns, found.st_ctime_ns
                states[entry.name] = (found.st_mode, found.st_size, *times)
    return states


def changed_images(folder: Path, listed: Manifest) -> set[str]:
    """Return the names of images that do not match their checksums; missing ones do not count."""
    changed = set()
    for image_id, checksum in zip(listed.ids.tolist(), listed.checksums.tolist(), strict=True):
        try:
            content = read_file(f"{folder}/{image_id}.png")
        except FileNotFoundError:
            continue
        if zlib.crc32(content) != checksum:
            changed.add(f"{image_id}.png")
    return changed


def check_foreign(folder: Path, names: set[str]) -> None:
    """Raise a ForeignPathError if there are names of files that must not be replaced."""
    if names:
        first = min(names)
        others = f" and {len(names) - 1:,} other files" if len(names) > 1 else ""
        raise ForeignPathError(
            folder / first,
            f"{folder} contains {first}{others}, which this program did not write or which "
            "changed since. Extraction replaces the whole folder, so nothing was touched. Move "
            "your own files away, then run this again.",
        )
