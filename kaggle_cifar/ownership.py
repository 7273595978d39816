"""One rule for every path: what this program did not write is never deleted or replaced.

A path is this program's own in one of three ways:

- its name begins with RESERVED: partial files, staging folders and locks;
- it is a JSON record whose first key says which kind of record it is;
- it is in a folder with a mark, a record of what this program wrote there.

Everything else is foreign: it may be read, and that is all.
"""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import UserError

RESERVED = ".kaggle-cifar"  # how the names of this program's own files and folders begin
MARK = f"{RESERVED}.json"  # in a folder that this program made
KIND = "kaggle-cifar"  # the key of a record's kind
LARGEST_RECORD = 2**24  # bytes; a larger file is no record


class ForeignPathError(UserError):
    """Something is in the way that this program did not write; `path` says what."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def reserved_path(path: Path, purpose: str) -> Path:
    """Return this program's own path beside `path`, for instance for its partial content."""
    return path.with_name(f"{RESERVED}.{path.name}.{purpose}")


def remove_reserved(path: Path) -> None:
    """Remove a file or folder whose name is reserved, if it is there; a link is not followed."""
    if not path.name.startswith(RESERVED):
        raise ValueError(f"{path} does not have a reserved name")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Files


def kind_of_file(mode: int) -> str:
    """Return the words for what is not a regular file, by its `st_mode`."""
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "not a regular file")


def regular_file(path: Path) -> Path:
    """Return the regular file that `path` leads to, new or there already; links are followed.

    Raises
    ------
    ForeignPathError
        When it leads to a folder, a device, a named pipe, a socket, or in a circle.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(target).st_mode  # noqa: PTH116 - `Path.stat` hides no error less
    except FileNotFoundError:
        if target.is_symlink():
            raise ForeignPathError(path, f"{path} is a link that leads in a circle.") from None
        return target
    except NotADirectoryError:
        raise ForeignPathError(path, f"A part of the path {path} is not a folder.") from None
    except OSError as error:
        raise ForeignPathError(path, f"{path} cannot be used: {error.strerror}.") from None
    if not stat.S_ISREG(mode):
        raise ForeignPathError(
            path, f"{path} is {kind_of_file(mode)}. Only a regular file can be used here."
        )
    return target


# Records


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Return the record of that kind at `path`, without its kind; an empty one if none is there.

    Raises
    ------
    ForeignPathError
        When the file is anything but such a record.
    """
    target = regular_file(path)
    try:
        if target.stat().st_size > LARGEST_RECORD:
            raise ValueError("it is too large")
        content = json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.pop(KIND, None) != kind:
        raise ForeignPathError(
            path,
            f"{path} is not a record that this program wrote ({kind}), so it is left as it is. "
            "Move it away, or choose another name.",
        )
    return content


def record_of(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a record: its kind, then the values."""
    return {KIND: kind, **values}


# Folders


def require_own_folder(folder: Path, kind: str) -> None:
    """Raise a ForeignPathError unless `folder` is new, empty, or this program's own of that kind.

    Locks and other reserved names do not count as content.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ForeignPathError(folder, f"{folder} is not a folder, and is left as it is.")
    if not is_marked(folder, kind) and foreign_names(folder):
        raise ForeignPathError(
            folder,
            f"{folder} holds {', '.join(foreign_names(folder)[:3])}, which this program did not "
            f"write: a folder for {kind} must be new, empty, or made by this program for that. "
            "Choose another folder.",
        )


def foreign_names(folder: Path) -> list[str]:
    """Return the names in a folder that are not reserved, in order."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(RESERVED))


def is_marked(folder: Path, kind: str) -> bool:
    """Whether a folder carries this program's mark of that kind."""
    try:
        return bool(read_record(folder / MARK, kind))
    except UserError:
        return False


def require_only_own_content(folder: Path, kind: str) -> None:
    """Raise a ForeignPathError unless `folder` may be replaced as a whole.

    It may if it is new, empty, or holds nothing but what its mark lists, unchanged.
    """
    require_own_folder(folder, kind)
    if not folder.is_dir() or not foreign_names(folder):
        return
    listed = read_record(folder / MARK, kind).get("files")
    found = digests(folder)
    changed = sorted(
        name
        for name, digest in found.items()
        if not isinstance(listed, dict) or listed.get(name) != digest
    )
    if changed:
        raise ForeignPathError(
            folder,
            f"{folder} holds {', '.join(changed[:3])}, which this program did not write or which "
            "was changed since. Choose another folder, or move it away.",
        )


def mark_folder(folder: Path, kind: str) -> None:
    """Mark a folder, with the SHA-256 of each file below it, as this program's own of that kind."""
    content = record_of(kind, {"files": digests(folder)})
    (folder / MARK).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below `folder` that has no reserved name, by its path.

    What is neither a file nor a folder, a link too, has an empty one.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            if path.name.startswith(RESERVED):
                continue
            found[name] = sha256(path)
        elif not stat.S_ISDIR(mode):
            found[name] = ""
        elif not any(path.iterdir()):
            found[name] = "folder"
    return found
