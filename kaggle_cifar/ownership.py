"""Never delete or replace what this program did not write.

This program owns a path if one of these is true:

- Its name begins with RESERVED: partial files, staging folders and locks.
- It is a JSON record whose first key says which kind of record it is.
- It is in a folder with a mark, which is a record of the files that this program wrote there.

Everything else is foreign. Foreign files are only read.
"""

import hashlib
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

from kaggle_cifar.errors import PathError, UserError

RESERVED = ".kaggle-cifar"  # the prefix of names that only this program uses
MARK = f"{RESERVED}.json"  # the record in a folder that this program made
KIND = "kaggle-cifar"  # the key that holds a record's kind
LARGEST_RECORD = 2**24  # bytes; a larger file is not a record


class ForeignPathError(PathError):
    """What is at `path` was not written by this program, so it must not be replaced."""


def reserved_path(path: Path, purpose: str) -> Path:
    """Return the reserved path in the folder of `path` for a purpose such as "partial"."""
    return path.with_name(f"{RESERVED}.{path.name}.{purpose}")


def remove_reserved(path: Path) -> None:
    """Remove the file or folder at a reserved path, if there is one; links are not followed."""
    if not path.name.startswith(RESERVED):
        raise ValueError(f"{path} does not have a reserved name")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# Files


def kind_of_file(mode: int) -> str:
    """Return what a file of that `st_mode` is called."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "not a regular file")


def regular_file(path: Path) -> Path:
    """Return the regular file, new or existing, that `path` leads to; links are followed.

    Raises
    ------
    ForeignPathError
        If it leads to a folder, a device, a named pipe, a socket, or back to itself.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(target).st_mode  # noqa: PTH116 - `Path.stat` hides no error less
    except FileNotFoundError:
        if target.is_symlink():
            raise ForeignPathError(path, f"{path} is a link that leads back to itself.") from None
        return target
    except NotADirectoryError:
        raise ForeignPathError(path, f"A part of the path {path} is not a folder.") from None
    except OSError as error:
        raise ForeignPathError(path, f"{path} cannot be used: {error.strerror}.") from None
    if not stat.S_ISREG(mode):
        raise ForeignPathError(
            path, f"{path} is {kind_of_file(mode)}. Use the path of a regular file."
        )
    return target


# Records


def read_record(path: Path, kind: str) -> dict[str, Any]:
    """Return the record of that kind at `path` without its kind, or {} if there is no file.

    Raises
    ------
    ForeignPathError
        If the file is anything else.
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
            f"{path} is not a record ({kind}) of this program, so it was not changed. Move it away "
            "or use another name.",
        )
    return content


def record_of(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a record, its kind first."""
    return {KIND: kind, **values}


# Folders


def require_own_folder(folder: Path, kind: str) -> None:
    """Raise a ForeignPathError unless `folder` is new, empty, or marked as of that kind.

    Files with a reserved name, such as locks, do not count as content.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ForeignPathError(folder, f"{folder} exists and is not a folder. Use another path.")
    if not is_marked(folder, kind) and foreign_names(folder):
        raise ForeignPathError(
            folder,
            f"{folder} holds {', '.join(foreign_names(folder)[:3])}, but nothing marks it as "
            f"{kind} of this program. Use a new or empty folder for {kind}, or an earlier one.",
        )


def foreign_names(folder: Path) -> list[str]:
    """Return the names in a folder that are not reserved, sorted."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(RESERVED))


def is_marked(folder: Path, kind: str) -> bool:
    """Return whether a folder has this program's mark of that kind."""
    try:
        return bool(read_record(folder / MARK, kind))
    except UserError:
        return False


def require_only_own_content(folder: Path, kind: str) -> None:
    """Raise a ForeignPathError unless `folder` may be replaced as a whole.

    It may if it is new, empty, or holds only unchanged files that its mark lists.
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
            "changed later. Use another folder or move this one away.",
        )


def mark_folder(folder: Path, kind: str) -> None:
    """Mark a folder as this program's own; the mark lists the SHA-256 of each file in it."""
    content = record_of(kind, {"files": digests(folder)})
    (folder / MARK).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below `folder` by its path, reserved names excepted.

    An empty folder has "folder" in its place, a link or special file an empty text.
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
