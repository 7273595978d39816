"""Kaggle to `data/raw`: the four files, whole or absent, through the real kaggle client."""

import contextlib
import errno
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kaggle_cifar import competition, files
from kaggle_cifar.console import progress_bar, say
from kaggle_cifar.data import labels
from kaggle_cifar.data.archive import DamagedArchiveError, open_images
from kaggle_cifar.errors import DamagedDownloadError, UserError
from kaggle_cifar.files import ProjectPaths
from kaggle_cifar.kaggle.client import ATTEMPTS, call, open_client
from kaggle_cifar.kaggle.explanations import explain, reason_in_short
from kaggle_cifar.kaggle.failures import LONGEST_BACKOFF, WrongRangeError, retry_delay, status_of
from kaggle_cifar.kaggle.signed_links import download_link, signed_link
from kaggle_cifar.ownership import (
    ForeignPathError,
    read_record,
    regular_file,
    remove_reserved,
    reserved_path,
)

Sleep = Callable[[float], None]
# Extracts the archive of a split, "train" or "test"; False when it was extracted before.
Extract = Callable[[Path, str], bool]

ZIP_SIGNATURE = b"PK\x03\x04"

# Far more than any of the four files unpacks to: a bomb, not a file of the competition.
LARGEST_UNPACKED = 4 * 2**30  # bytes
LARGEST_LISTED = 2**60  # bytes; a list that gives more gives no size
MOST_PAGES = 50  # of the list of files, 20 each

SOURCE_NAME = "source.json"  # in a folder of data that is not Kaggle's
SOURCE_KIND = "source of data"
VERIFIED_KIND = "verified files"


def download(
    project: ProjectPaths, *, extract: Extract | None = None, sleep: Sleep = time.sleep
) -> None:
    """Bring the four files of the competition into `data/raw` and verify them.

    What is there and whole is left alone; what was interrupted goes on where it stopped. With
    `extract`, an archive is verified by extracting it, which compares the same checksums.

    Raises
    ------
    UserError
        When Kaggle refuses or cannot be reached, the disk is full, a file comes damaged, or
        something is in the way that this program did not write.
    """
    with files.lock(project.raw, "download"):
        require_kaggle_folder(project.raw)
        missing = [name for name in competition.FILES if not is_whole(project.raw, name, extract)]
        if missing:
            fetch_all(project.raw, missing, sleep, extract)
        for name in competition.FILES:
            discard(project.raw / name)


def require_kaggle_folder(raw: Path) -> None:
    """Raise a UserError when `raw` holds other data than Kaggle's, or a foreign `verified.json`."""
    with contextlib.suppress(ForeignPathError):
        if read_record(raw / SOURCE_NAME, SOURCE_KIND):
            raise UserError(
                f"{raw} holds the public CIFAR-10, in which other images have Kaggle's ids. "
                "Choose another folder, for instance --data-dir data-kaggle."
            )
    read_record(memory(raw), VERIFIED_KIND)


def staging(path: Path) -> Path:
    """Return the folder in which the file `path` grows until it is verified."""
    return reserved_path(path, "download")


def staged_file(path: Path) -> Path:
    """Return the place in that folder; the client knows the file by its name."""
    return staging(path) / path.name


def is_whole(raw: Path, name: str, extract: Extract | None = None) -> bool:
    """Tell whether a file is there and verified; put aside one that is there and damaged."""
    path = raw / name
    if not regular_file(path).exists():
        return False
    if not is_remembered(path):
        try:
            verify(path, name, extract)
        except DamagedDownloadError as error:
            say(f"{name} is damaged and was put aside as {put_aside(path)}: {error.fault}")
            return False
        remember(path)
    say(f"{name}: there already, and whole.")
    return True


def put_aside(path: Path) -> Path:
    """Give a file another name, which no other has, and return it."""
    aside, number = path.with_name(f"{path.name}.damaged"), 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.replace(aside)
    return aside


def listed_sizes(api: Any, names: list[str], sleep: Sleep) -> dict[str, int]:
    """Return the sizes in bytes that Kaggle's list of files gives for `names`, where it does.

    A list that Kaggle cannot give at the moment is done without: the files may come all the same.
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
            say(f"{error} Going on without the files' sizes.")
            return sizes
        listed = {file.name: as_bytes(file.total_bytes) for file in page.files}
        for name in names:
            size = listed.get(name) or listed.get(f"{name}.zip") or 0
            if 0 < size <= LARGEST_LISTED:
                sizes[name] = size
        token = page.next_page_token
        if not token or sizes.keys() >= set(names):
            break
    return sizes


def as_bytes(value: Any) -> int:
    """Return a size that JSON gives as a number or, as protobuf writes 64 bits, as text; else 0."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def check_full_disk(raw: Path, names: list[str], sizes: dict[str, int]) -> None:
    """Raise a UserError when the rest of the files does not fit on the disk."""
    needed = sum(max(0, sizes.get(name, 0) - size_of(staged_file(raw / name))) for name in names)
    free = shutil.disk_usage(raw).free
    if free < needed:
        raise UserError(
            f"The disk is too full: {raw} needs {needed / 2**20:,.0f} MiB more and "
            f"{free / 2**20:,.0f} MiB are free. Free some space, or choose another folder "
            "with --data-dir."
        )


def fetch_all(raw: Path, names: list[str], sleep: Sleep, extract: Extract | None) -> None:
    """Bring files under their final names, if the disk has room for all of them."""
    api = open_client()
    sizes = listed_sizes(api, names, sleep)
    check_full_disk(raw, names, sizes)
    for name in names:
        fetch(api, raw, name, sizes.get(name), sleep, extract)


def fetch(
    api: Any, raw: Path, name: str, size: int | None, sleep: Sleep, extract: Extract | None
) -> None:
    """Bring one file under its final name, downloading it once more when it comes damaged."""
    path = raw / name
    staged = staged_file(path)
    for is_last in (False, True):
        try:
            staged.parent.mkdir(parents=True, exist_ok=True)
            if size is None or size_of(staged) != size:
                receive(api, staged, size, sleep)
            content = unpack(staged)
            check_wrong_size(staged, content, size)
            verify(content, name, extract)
        except DamagedDownloadError as error:
            discard(path)
            if is_last:
                raise DamagedDownloadError(
                    f"{name} came damaged twice and was removed: {error.fault}",
                    "Run this again later. If it stays so, download the file by hand from "
                    f"{competition.PAGE}/data",
                ) from error
            say(f"{name} came damaged and was removed: {error.fault} Downloading it again.")
        except OSError as error:
            raise files.explain_os_error(error, path) from error
        else:
            publish(content, path)
            discard(path)
            say(f"{name}: downloaded and whole ({size_of(path):,} bytes).")
            return


def receive(api: Any, staged: Path, size: int | None, sleep: Sleep) -> None:
    """Download to `staged`, going on after interruptions as long as it gets any further."""
    attempt, furthest = 0, size_of(staged)
    with closing(progress_bar(staged.name, size or 0, "B", initial=furthest)) as bar:
        while True:
            try:
                # A new link each time: links expire.
                download_link(signed_link(api, staged.name), staged, partial(move_to, bar))
                return
            except (Exception, SystemExit) as error:
                attempt = 1 if size_of(staged) > furthest else attempt + 1
                furthest = max(furthest, size_of(staged))
                delay = delay_before_next(error, attempt)
                if is_useless(error):
                    empty(staged.parent)
                if delay is None or attempt >= ATTEMPTS:
                    raise explain_failure(error, staged, size) from error
                reason = reason_in_short(error)
            bar.write(f"{staged.name}: {reason}. The next try comes in {delay:.0f} s.")
            sleep(delay)


def move_to(bar: tqdm, position: int) -> None:
    """Set a progress bar to a position in the file; it goes back where a server starts again."""
    bar.update(position - bar.n)


def delay_before_next(error: BaseException, attempt: int) -> float | None:
    """Return the seconds before a download is tried again, or None when that is no use."""
    if isinstance(error, WrongRangeError) or refused_by_storage(error):
        return min(2.0 ** (attempt - 1), LONGEST_BACKOFF)
    return retry_delay(error, attempt)


def refused_by_storage(error: BaseException) -> bool:
    """Whether the storage refused its link, which a new link puts right when it has expired."""
    request = getattr(getattr(error, "response", None), "request", None)
    status = status_of(error)
    return request is not None and request.method == "GET" and status is not None and status != 429


def is_useless(error: BaseException) -> bool:
    """Whether what was received so far cannot be gone on with."""
    return isinstance(error, WrongRangeError) or (
        refused_by_storage(error) and status_of(error) == 416
    )


def explain_failure(error: BaseException, staged: Path, size: int | None) -> UserError:
    """Return the sentence for a download that ended, and what of it is kept."""
    received = size_of(staged)
    whole = f" of {size / 2**20:,.1f}" if size else ""
    kept = (
        f" {received / 2**20:,.1f}{whole} MiB are kept, and the next run goes on from there."
        if received
        else ""
    )
    doing = f"Downloading {staged.name}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(staged.parent).free / 2**20
        reason = f"the disk is full ({free:,.0f} MiB are free). Free some space and run this again."
        return UserError(f"{doing} failed: {reason}{kept}")
    if isinstance(error, WrongRangeError):
        reason = f"the server sent wrong parts of the file again and again ({error})."
        return UserError(f"{doing} failed: {reason} What came was removed. Run this again later.")
    if refused_by_storage(error) and (status := status_of(error)) and status < 500:
        reason = f"Kaggle's storage refused each link that Kaggle gave (HTTP {status})."
        return UserError(f"{doing} failed: {reason} Run this again later.{kept}")
    return UserError(f"{explain(error, doing)}{kept}")


def unpack(staged: Path) -> Path:
    """Return the file that was meant: `staged`, or what a zip of that one file holds."""
    with staged.open("rb") as file:
        if file.read(4) != ZIP_SIGNATURE:
            return staged
    unpacked = staged.with_name(f"{staged.name}.unpacked")
    try:
        with zipfile.ZipFile(staged) as archive:
            member = only_member(archive, staged.name)
            with archive.open(member) as source, unpacked.open("wb") as target:
                shutil.copyfileobj(source, target, 2**20)
    except (UserError, OSError):
        raise
    except Exception as error:  # zipfile and zlib have many classes for a broken zip
        raise DamagedDownloadError(f"the zip that it came in is broken ({error}).") from error
    return unpacked


def only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the member of a zip that is the file `name`."""
    members = [member for member in archive.infolist() if Path(member.filename).name == name]
    if len(members) != 1 or members[0].file_size > LARGEST_UNPACKED:
        raise DamagedDownloadError(f"it came as a zip that does not hold just one {name}.")
    return members[0]


def check_wrong_size(staged: Path, content: Path, size: int | None) -> None:
    """Raise when neither a CSV nor the zip that it came in has the size in Kaggle's list.

    A CSV has no checksum of its own that would tell lost rows. An archive has: the list may be
    wrong about it.
    """
    if staged.suffix == ".csv" and size and size not in (size_of(staged), size_of(content)):
        raise DamagedDownloadError(
            f"it should have {size:,} bytes by Kaggle's list and has {size_of(content):,}."
        )


def verify(path: Path, name: str, extract: Extract | None = None) -> None:
    """Raise when the content of `path` is not that of the competition's file `name`.

    Raises
    ------
    DamagedDownloadError
        When it certainly is not.
    UserError
        When that cannot be told: the file cannot be read, or its compression is not known.
    """
    if name == competition.TRAIN_LABELS:
        verify_table(path, labels.read_training_labels)
    elif name == competition.SAMPLE_SUBMISSION:
        verify_table(path, labels.read_ids)
    elif not (extract and was_extracted(path, name, extract)):
        verify_archive(path, name)


def verify_table(path: Path, read: Callable[[Path], object]) -> None:
    """Raise a DamagedDownloadError when `read` finds a fault in the CSV at `path`."""
    try:
        read(path)
    except UserError as error:
        if isinstance(error.__cause__, OSError):  # it could not be read
            raise
        # Neither the staged path, which is removed, nor the advice to download, which goes on.
        fault = str(error).replace(str(path), path.name).replace(labels.REMEDY, "").strip()
        raise DamagedDownloadError(fault) from error


def was_extracted(path: Path, name: str, extract: Extract) -> bool:
    """Extract a whole archive; tell whether that was done, which compares its checksums, too."""
    if path.name != name:  # it came in a zip, and is not the file that will be there
        return False
    try:
        return extract(path, Path(name).stem)
    except DamagedArchiveError:
        raise
    except UserError:  # no fault of the archive's: the extraction that follows will tell it
        return False


def verify_archive(path: Path, name: str) -> None:
    """Decode a 7z archive to nothing and compare every checksum in it.

    Raises
    ------
    DamagedArchiveError
        When it is no whole archive, a checksum is wrong, or it holds anything but images.
    """
    say(f"Comparing the checksums in {name} ({path.stat().st_size / 2**20:,.0f} MiB) …")
    with (
        open_images(path, Path(name).stem) as (members, contents),
        closing(progress_bar(f"Verifying {name}", len(members), "images")) as progress,
    ):
        for _ in contents:
            progress.update()


def publish(content: Path, path: Path) -> None:
    """Move a verified file to its final name and remember that it is whole.

    Raises
    ------
    ForeignPathError
        When a file was put there meanwhile.
    """
    target = regular_file(path)
    if target.exists():
        raise ForeignPathError(
            path,
            f"{path} was put there during the download, so it is left as it is. Run this again: "
            "it is verified then.",
        )
    try:
        files.sync(content)
        content.replace(target)
        files.sync(target.parent)
    except OSError as error:
        raise files.explain_os_error(error, path) from error
    remember(path)


def discard(path: Path) -> None:
    """Remove what is staged of the file `path`."""
    try:
        remove_reserved(staging(path))
    except OSError as error:
        raise files.explain_os_error(error, staging(path)) from error


def empty(folder: Path) -> None:
    """Remove what is in a folder of staged files, but not the folder."""
    remove_reserved(folder)
    folder.mkdir()


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def memory(raw: Path) -> Path:
    """Return the JSON that tells which files were verified, by size and time of change."""
    return raw / "verified.json"


def remembered(raw: Path) -> dict[str, Any]:
    """Return what was verified."""
    return read_record(memory(raw), VERIFIED_KIND)


def state(path: Path) -> dict[str, int]:
    """Return what tells that a file was not changed since it was verified."""
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def is_remembered(path: Path) -> bool:
    """Whether a file was verified and has not changed since."""
    return bool(remembered(path.parent).get(path.name) == state(path))


def remember(path: Path) -> None:
    """Record that a file was verified."""
    verified = remembered(path.parent) | {path.name: state(path)}
    files.write_record(memory(path.parent), VERIFIED_KIND, verified)
