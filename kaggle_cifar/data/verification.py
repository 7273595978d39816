"""Verify that a downloaded file is the one that Kaggle serves under its name.

An archive holds checksums of its own. A CSV has none: every row is checked. `verified.json` in
`data/raw` records which files were verified, by size and modification time.
"""

import shutil
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from kaggle_cifar import competition
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data import labels
from kaggle_cifar.data.archive import DamagedArchiveError, open_images
from kaggle_cifar.errors import DamagedDownloadError, UserError
from kaggle_cifar.files import write_record
from kaggle_cifar.ownership import read_record

# Extracts the archive of a split, "train" or "test"; False if it was extracted before.
Extract = Callable[[Path, str], bool]

ZIP_SIGNATURE = b"PK\x03\x04"
LARGEST_UNZIPPED = 4 * 2**30  # bytes; far more than any of the four files takes

VERIFIED_NAME = "verified.json"
VERIFIED_KIND = "verified files"


def unzip(staged: Path) -> Path:
    """Return the downloaded file, unzipped if Kaggle served it in a zip archive.

    Raises
    ------
    DamagedDownloadError
        If the zip archive is broken or does not hold exactly that file.
    """
    with staged.open("rb") as file:
        if file.read(4) != ZIP_SIGNATURE:
            return staged
    unzipped = staged.with_name(f"{staged.name}.unzipped")
    try:
        with zipfile.ZipFile(staged) as archive:
            member = only_member(archive, staged.name)
            with archive.open(member) as source, unzipped.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    except (UserError, OSError):
        raise
    except Exception as error:  # zipfile and zlib have many classes for a broken zip
        raise DamagedDownloadError(f"the zip archive around it is broken ({error}).") from error
    return unzipped


def only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the member of a zip archive that is the file `name`."""
    members = [member for member in archive.infolist() if Path(member.filename).name == name]
    if len(members) != 1 or members[0].file_size > LARGEST_UNZIPPED:
        raise DamagedDownloadError(f"the zip archive does not hold exactly one {name}.")
    return members[0]


def check_size(name: str, sizes: tuple[int, ...], listed: int | None) -> None:
    """Raise a DamagedDownloadError if none of a CSV's `sizes` is the one that Kaggle lists.

    The size shows that rows are missing. It is not checked for archives, which have checksums,
    because the list may be wrong.
    """
    if name.endswith(".csv") and listed and listed not in sizes:
        raise DamagedDownloadError(f"it has {sizes[-1]:,} bytes, but Kaggle lists {listed:,}.")


def verify(path: Path, name: str, extract: Extract | None = None) -> None:
    """Check that the content of `path` is that of the competition's file `name`.

    Raises
    ------
    DamagedDownloadError
        If it is not.
    UserError
        If it cannot be checked: the file is unreadable or compressed by an unknown method.
    """
    if name == competition.TRAIN_LABELS:
        verify_table(path, labels.read_training_labels)
    elif name == competition.SAMPLE_SUBMISSION:
        verify_table(path, labels.read_ids)
    elif not (extract and was_extracted(path, name, extract)):
        verify_archive(path, name)


def verify_table(path: Path, read: Callable[[Path], object]) -> None:
    """Raise a DamagedDownloadError if `read` finds a fault in the CSV at `path`."""
    try:
        read(path)
    except labels.InvalidTableError as error:
        place = f"line {error.line}: " if error.line else ""
        raise DamagedDownloadError(f"{place}{error.fault}.") from error


def was_extracted(path: Path, name: str, extract: Extract) -> bool:
    """Extract an archive, which checks all of its checksums; return whether that succeeded."""
    if path.name != name:  # it came in a zip archive and is not at its final path yet
        return False
    try:
        return extract(path, Path(name).stem)
    except DamagedArchiveError:
        raise
    except UserError:  # not a fault of the archive: the extraction that follows reports it
        return False


def verify_archive(path: Path, name: str) -> None:
    """Decode a 7z archive without writing it, and check all of its checksums.

    Raises
    ------
    DamagedArchiveError
        If it is cut off, a checksum is wrong, or it holds anything but images.
    """
    say(f"Checking the checksums in {name} ({path.stat().st_size / 2**20:,.0f} MiB) …")
    with (
        open_images(path, Path(name).stem) as (members, contents),
        closing(progress_bar(f"Verifying {name}", len(members), "images")) as progress,
    ):
        for _ in contents:
            progress.update()


# The record of verified files


def read_verified(raw: Path) -> dict[str, dict[str, int]]:
    """Return the size and modification time of each file that was verified.

    Raises
    ------
    ForeignPathError
        If `verified.json` is not this program's.
    """
    return read_record(raw / VERIFIED_NAME, VERIFIED_KIND)


def is_verified(path: Path) -> bool:
    """Return whether a file was verified and has not changed since."""
    return read_verified(path.parent).get(path.name) == state_of(path)


def record_verified(path: Path) -> None:
    """Record that a file was verified."""
    verified = read_verified(path.parent) | {path.name: state_of(path)}
    write_record(path.parent / VERIFIED_NAME, VERIFIED_KIND, verified)


def state_of(path: Path) -> dict[str, int]:
    """Return the size and modification time of a file."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
