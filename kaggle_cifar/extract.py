"""The archives in `data/raw` → one folder of PNGs and one manifest a split.

An archive is data from elsewhere: its header is read and judged before anything is written, every
image is written under a name made from its id and never from the archive's path, and a folder
appears under its final name only when each of its images matched its checksum.
"""

import json
import os
import struct
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from kaggle_cifar import competition, tables
from kaggle_cifar.errors import UserError
from kaggle_cifar.progress import progress_bar, say
from kaggle_cifar.sevenzip import (
    Contents,
    Member,
    identity,
    open_images,
    refusal,
)
from kaggle_cifar.storage import (
    Layout,
    atomic_write,
    explain_os_error,
    lock,
    partial_path,
    read_json,
    remove_folder,
)

PNG_START = b"\x89PNG\r\n\x1a\n" + struct.pack(
    ">I4sII", 13, b"IHDR", competition.IMAGE_SIZE, competition.IMAGE_SIZE
)
NO_PNG = f"not a PNG of {competition.IMAGE_SIZE} x {competition.IMAGE_SIZE} pixels"
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def extract(layout: Layout, told: Collection[str] = ()) -> None:
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
        archive = layout.raw / f"{split}.7z"
        if not extract_split(layout, archive, split) and split not in told:
            say(f"{layout.images(split)} is extracted already: left as it is.")


def extract_split(layout: Layout, archive: Path, split: str) -> bool:
    """Extract the archive of one split; return False when that was done before."""
    with lock(layout.data, "extraction"):
        return extract_unlocked(layout, archive, split)


def extract_unlocked(layout: Layout, archive: Path, split: str) -> bool:
    """Do the work of `extract_split`, whose lock is held."""
    folder, manifest = layout.images(split), layout.manifest(split)
    remove_leftovers(folder)
    if is_extracted(archive, folder, manifest):
        return False
    if not archive.exists():
        raise UserError(
            f"{archive} is missing and {folder} is not extracted. Run `kaggle-cifar download`, "
            f"or `kaggle-cifar sample {archive.parent}` for a small competition without Kaggle."
        )
    extract_archive(archive, folder, manifest, expected_ids(layout, split))
    return True


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
    with open_images(archive, folder.name) as (members, contents):
        refuse_other_ids(members, expected_ids, archive, folder.name)
        try:
            remove_leftovers(folder)
            staging.mkdir(parents=True)
            unpack(contents, archive, folder.name, len(members), staging)
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
    """Write each image to `staging` under its id."""
    prefix = f"{staging}{os.sep}"
    with progress_bar(f"Extracting {archive.name}", count, "images") as progress:
        for image_id, content in contents:
            if content[: len(PNG_START)] != PNG_START:
                raise refusal(archive, f"{split}/{image_id}.png", NO_PNG)
            write_new_file(f"{prefix}{image_id}.png", content)
            progress.update()


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
    folder, and the next run extracts again. The images are left to the system to bring to the
    disk: should the power fail before, whoever reads one finds that its checksum differs.
    """
    old, record = replaced_path(folder), record_path(manifest)
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
