"""Extract `train.7z` and `test.7z` from `data/raw` to folders of PNGs.

An image's file is named after its id, never after a path in the archive. A folder appears under
its final name only if every image in it matched its checksum and decodes.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from kaggle_cifar import competition
from kaggle_cifar.console import counted, progress_bar, say
from kaggle_cifar.data import labels
from kaggle_cifar.data.archive import Contents, identity, open_images
from kaggle_cifar.data.image_folder import (
    StagedImages,
    is_extracted,
    staged_images,
)
from kaggle_cifar.data.png import UndecodableError, require_decodable
from kaggle_cifar.data.sources import data_command, how_to_restore
from kaggle_cifar.errors import DataMissingError, UserError
from kaggle_cifar.files import ProjectPaths, existing_parent, lock
from kaggle_cifar.staging import remove_staged

# The file that lists the ids of each split.
CSV_OF = {"train": competition.TRAIN_LABELS, "test": competition.SAMPLE_SUBMISSION}


class ArchiveMissingError(DataMissingError):
    """The images of a split are not extracted and their archive is missing; `path` is its path."""

    def __init__(self, path: Path, folder: Path) -> None:
        remedy = how_to_restore(path)
        if not any(path.with_name(name).exists() for name in competition.FILES):
            sample = data_command(path.parent.parent, "sample", path.parent)
            remedy += f" For a small competition without Kaggle, run `{sample}`."
        super().__init__(path, f"{path} is missing and {folder} is not extracted. {remedy}")


class WrongIdsError(UserError):
    """An archive has other images than its CSV lists: `missing` and `unexpected` are their ids."""

    def __init__(self, archive: Path, missing: set[int], unexpected: set[int]) -> None:
        self.missing, self.unexpected = missing, unexpected
        split, ids = archive.stem, missing or unexpected
        csv = archive.with_name(CSV_OF[split])
        others = f" and {len(ids) - 1:,} other images" if len(ids) > 1 else ""
        super().__init__(
            f"{archive} {'lacks' if missing else 'also contains'} {split}/{min(ids)}.png{others}: "
            f"it does not match {csv}. Nothing was extracted. {how_to_restore(archive, csv)}"
        )


class BrokenMemberError(UserError):
    """An archive is intact, but its image `member` does not decode."""

    def __init__(self, archive: Path, member: str, what: str) -> None:
        self.member = member
        super().__init__(
            f"{archive} contains {member}, which {what}. Expected a PNG that decodes to "
            f"{competition.IMAGE_SIZE} x {competition.IMAGE_SIZE} RGB pixels. Its checksum is "
            "right, so the archive was packed with this file. Nothing was extracted. "
            f"{how_to_restore(archive)} If the new archive is the same, the image is broken at "
            "its source."
        )


def extract(project: ProjectPaths, just_extracted: Collection[str] = ()) -> None:
    """Extract `train.7z` and `test.7z` into `data/train` and `data/test`.

    A split that was extracted from the same archive stays as it is. A message says so unless the
    split is one of `just_extracted`.

    Raises
    ------
    UserError
        If an archive is missing or corrupt, or contains anything but the images that its CSV
        lists; if the disk is full; if another process extracts.
    """
    for split in ("train", "test"):
        archive = project.raw / f"{split}.7z"
        if not extract_split(project, archive, split) and split not in just_extracted:
            say(f"{project.images(split)} is already extracted.")


def extract_split(project: ProjectPaths, archive: Path, split: str) -> bool:
    """Extract the archive of one split; return False if that was done before."""
    folder, manifest = project.images(split), project.manifest(split)
    # Nobody can extract to a read-only folder, so it needs no lock.
    if not os.access(existing_parent(project.data), os.W_OK) and is_extracted(
        archive, folder, manifest
    ):
        return False
    with lock(project.data, "extraction"):
        remove_staged(folder)
        if is_extracted(archive, folder, manifest):
            return False
        if not archive.exists():
            raise ArchiveMissingError(archive, folder)
        extract_archive(archive, folder, manifest, expected_ids(project, split))
        return True


def expected_ids(project: ProjectPaths, split: str) -> Iterable[int]:
    """Return the ids that the archive of `split` must contain."""
    if split == "test":
        return labels.expected_ids(project)
    ids, _ = labels.read_training_labels(project.raw / competition.TRAIN_LABELS)
    return map(int, ids)


def extract_archive(
    archive: Path, folder: Path, manifest: Path, expected_ids: Iterable[int]
) -> None:
    """Extract the images `<folder's name>/<id>.png` of `archive` to `folder`; write `manifest`.

    The images that `folder` has stay until the new ones are complete, and if anything fails.

    Raises
    ------
    ForeignPathError
        If `folder` contains anything that this program did not extract.
    WrongIdsError
        If the archive has other images than `expected_ids`.
    UserError
        If the archive is corrupt or contains anything else, or if the disk is full.
    """
    with (
        staged_images(folder, manifest, identity(archive)) as staged,
        open_images(archive, folder.name) as (members, contents),
    ):
        check_ids(archive, members, expected_ids)
        write_images(staged, contents, archive, len(members))
    say(f"Extracted {counted(len(members), 'image')} to {folder}.")


def check_ids(archive: Path, found: Collection[int], expected_ids: Iterable[int]) -> None:
    """Raise a WrongIdsError if the ids in the archive are not the expected ones."""
    expected = set(expected_ids)
    missing, unexpected = expected - set(found), set(found) - expected
    if missing or unexpected:
        raise WrongIdsError(archive, missing, unexpected)


def write_images(staged: StagedImages, contents: Contents, archive: Path, count: int) -> None:
    """Write each image of the archive that decodes.

    Raises
    ------
    BrokenMemberError
        For the first that does not.
    """
    with progress_bar(f"Extracting {archive.name}", count, "images") as progress:
        for image_id, content in contents:
            try:
                require_decodable(content)
            except UndecodableError as error:
                member = f"{archive.stem}/{image_id}.png"
                raise BrokenMemberError(archive, member, str(error)) from None
            staged.write(image_id, content)
            progress.update()
