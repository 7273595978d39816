"""Download the competition's four files from Kaggle into `data/raw` and verify them."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from kaggle_cifar import competition, files
from kaggle_cifar.console import say
from kaggle_cifar.data.mounted import find_mounted
from kaggle_cifar.data.sources import SOURCE_KIND, SOURCE_NAME
from kaggle_cifar.data.transfer import Sleep, receive, size_of
from kaggle_cifar.data.verification import (
    Extract,
    check_size,
    is_verified,
    read_verified,
    record_verified,
    unzip,
    verify,
)
from kaggle_cifar.errors import DamagedDownloadError, PathError, UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle.client import call, open_client
from kaggle_cifar.kaggle.failures import status_of
from kaggle_cifar.ownership import (
    ForeignPathError,
    read_record,
    regular_file,
    remove_reserved,
    reserved_path,
)

LARGEST_LISTED = 2**60  # bytes; a larger size in Kaggle's list is ignored
MOST_PAGES = 50  # of Kaggle's list of files, 20 files each


class OtherSourceError(PathError):
    """The folder `path` holds the public CIFAR-10 instead of Kaggle's files, or the reverse."""


class DamagedTwiceError(UserError):
    """The file `name` was downloaded twice and was damaged each time."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(
            f"{name} was damaged in both downloads: {fault} No file was kept. Run this again "
            f"later, or download the file by hand from {competition.PAGE}/data"
        )
        self.name = name


def download(
    project: ProjectPaths, *, extract: Extract | None = None, sleep: Sleep = time.sleep
) -> None:
    """Download the four files of the competition into `data/raw` and verify them.

    In a session on Kaggle that has the files mounted, they are linked instead. Verified files are
    not downloaded again, and interrupted downloads resume. If `extract` is given, archives are
    verified by extracting them, which checks the same checksums.

    Raises
    ------
    OtherSourceError
        If `data/raw` holds the public CIFAR-10.
    ForeignPathError
        If a path is taken by something that this program did not write.
    DamagedTwiceError
        If a file is damaged in two downloads.
    UserError
        If Kaggle refuses or cannot be reached, or the disk is full.
    """
    with files.lock(project.raw, "download"):
        require_kaggle_folder(project.raw)
        link_mounted(project.raw)
        missing = [name for name in competition.FILES if not is_whole(project.raw, name, extract)]
        if missing:
            fetch_files(project.raw, missing, sleep, extract)
        for name in competition.FILES:
            remove_staged_file(project.raw / name)


def require_kaggle_folder(raw: Path) -> None:
    """Raise a UserError if `raw` holds the public CIFAR-10 or a foreign `verified.json`."""
    with contextlib.suppress(ForeignPathError):
        if read_record(raw / SOURCE_NAME, SOURCE_KIND):
            raise OtherSourceError(
                raw,
                f"{raw} holds the public CIFAR-10, whose ids mean other images than Kaggle's. Use "
                "another folder, for instance --data-dir data-kaggle.",
            )
    read_verified(raw)


def link_mounted(raw: Path) -> None:
    """Link the files that Kaggle has mounted in this session, except those that `raw` has."""
    if not (mounted := find_mounted()):
        return
    for name in competition.FILES:
        if (mounted / name).is_file() and not os.path.lexists(raw / name):
            (raw / name).symlink_to(mounted / name)
            say(f"{name}: found in {mounted}.")


def is_whole(raw: Path, name: str, extract: Extract | None) -> bool:
    """Return whether a file exists and is verified; rename it if it is damaged."""
    path = raw / name
    if not regular_file(path).exists():
        return False
    if not is_verified(path):
        try:
            verify(path, name, extract)
        except DamagedDownloadError as error:
            say(f"{name} is damaged and was renamed to {rename_damaged(path)}: {error.fault}")
            return False
        record_verified(path)
    say(f"{name}: already downloaded and verified.")
    return True


def rename_damaged(path: Path) -> Path:
    """Give a damaged file a new name, which no other file has, and return it."""
    renamed, number = path.with_name(f"{path.name}.damaged"), 1
    while os.path.lexists(renamed):
        number += 1
        renamed = path.with_name(f"{path.name}.damaged-{number}")
    path.replace(renamed)
    return renamed


def fetch_files(raw: Path, names: list[str], sleep: Sleep, extract: Extract | None) -> None:
    """Download files to their final paths if the disk has room for all of them."""
    api = open_client()
    sizes = list_sizes(api, names, sleep)
    rest = (max(0, sizes.get(name, 0) - size_of(staged_file(raw / name))) for name in names)
    files.check_free_space(raw, sum(rest))
    for name in names:
        fetch_file(api, raw / name, sizes.get(name), sleep, extract)


def list_sizes(api: Any, names: list[str], sleep: Sleep) -> dict[str, int]:
    """Return the sizes in bytes that Kaggle lists for the files `names`.

    If Kaggle has problems, the sizes are left out: the download itself may still work.
    """
    sizes: dict[str, int] = {}
    token = ""
    for _ in range(MOST_PAGES):
        try:
            page = call(
                api.competition_list_files,
                competition.SLUG,
                token,
                doing="Listing the files of the competition",
                sleep=sleep,
            )
        except UserError as error:
            if (status_of(error.__cause__ or error) or 0) < 429:
                raise
            say(f"{error} Continuing without the sizes of the files.")
            return sizes
        listed = {file.name: to_bytes(file.total_bytes) for file in page.files}
        for name in names:
            size = listed.get(name) or listed.get(f"{name}.zip") or 0
            if 0 < size <= LARGEST_LISTED:
                sizes[name] = size
        token = page.next_page_token
        if not token or sizes.keys() >= set(names):
            break
    return sizes


def to_bytes(value: Any) -> int:
    """Return a size from JSON, a number or (as protobuf writes 64 bits) a text; 0 if invalid."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def fetch_file(
    api: Any, path: Path, size: int | None, sleep: Sleep, extract: Extract | None
) -> None:
    """Download one file to its final path, a second time if it is damaged."""
    staged = staged_file(path)
    for is_last in (False, True):
        try:
            staged.parent.mkdir(parents=True, exist_ok=True)
            if size is None or size_of(staged) != size:
                receive(api, staged, size, sleep)
            content = unzip(staged)
            check_size(path.name, (size_of(staged), size_of(content)), size)
            verify(content, path.name, extract)
        except DamagedDownloadError as error:
            remove_staged_file(path)
            if is_last:
                raise DamagedTwiceError(path.name, error.fault) from error
            say(f"{path.name} was damaged in the download: {error.fault} Downloading it again.")
        except OSError as error:
            raise files.explain_os_error(error, path) from error
        else:
            move_verified(content, path)
            remove_staged_file(path)
            say(f"{path.name}: downloaded and verified ({size_of(path):,} bytes).")
            return


def staged_file(path: Path) -> Path:
    """Return the path at which a file is downloaded; the client knows it by the same name."""
    return reserved_path(path, "download") / path.name


def move_verified(content: Path, path: Path) -> None:
    """Move a verified file to its final path and record that it is verified.

    Raises
    ------
    ForeignPathError
        If another file appeared at `path` during the download.
    """
    target = regular_file(path)
    if target.exists():
        raise ForeignPathError(
            path,
            f"{path} appeared during the download and was not replaced. Run this again to verify "
            "it.",
        )
    try:
        files.sync(content)
        content.replace(target)
        files.sync(target.parent)
    except OSError as error:
        raise files.explain_os_error(error, path) from error
    record_verified(path)


def remove_staged_file(path: Path) -> None:
    """Remove the folder in which the file `path` is downloaded."""
    try:
        remove_reserved(staged_file(path).parent)
    except OSError as error:
        raise files.explain_os_error(error, path) from error
