"""Notes of every content that was sent to Kaggle, wherever its CSV and its record are now."""

from pathlib import Path
from typing import Any

from kaggle_cifar import files, ownership
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import RESERVED

KIND = "sent submission"


def sent_file(submissions: Path, digest: str) -> Path:
    """Return the note that the content with that SHA-256 was or may have been sent."""
    return submissions / f"{RESERVED}.sent" / f"{digest}.json"


def read_sent(submissions: Path, digest: str) -> dict[str, Any]:
    """Return the "file" and "token" under which a content was first sent, or an empty note."""
    path = sent_file(submissions, digest)
    try:
        return ownership.read_record(path, KIND)
    except UserError:  # a damaged note still shows by its name that the content was sent
        return {"file": str(path)}


def note_sent(submissions: Path, digest: str, csv: Path, token: str) -> None:
    """Note that a content is being sent, unless it was sent before."""
    if not read_sent(submissions, digest):
        values = {"file": csv.name, "token": token}
        files.write_record(sent_file(submissions, digest), KIND, values)


def forget_sent(submissions: Path, digest: str, token: str) -> None:
    """Remove the note of a sending that certainly made no submission."""
    if read_sent(submissions, digest).get("token") == token:
        sent_file(submissions, digest).unlink(missing_ok=True)
