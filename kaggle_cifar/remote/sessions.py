"""What is under way on Kaggle, as it lies in `runs/.remote/<name>`.

recipe.json tells what was asked for, session.json which kernel trains it and how far it is;
`kernel` holds what was sent, `output` what is being downloaded.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from kaggle_cifar.errors import UserError
from kaggle_cifar.runs import Run, named_run
from kaggle_cifar.storage import LOCK_NAME, Layout, from_json, read_json, remove_folder, write_json

UNDER_WAY = ("queued", "running")


@dataclass(frozen=True)
class Session:
    """A kernel on Kaggle that trains a run, and what it, or the next one, goes on from."""

    kernel: str  # "user/slug"
    accelerator: str
    predict: bool
    number: int = 1
    source: str | None = None  # a kernel whose output holds the run's checkpoint
    progress: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # of the source's output
    state: str = "sending"

    @property
    def url(self) -> str:
        """The kernel's page."""
        return f"https://www.kaggle.com/code/{self.kernel}"


def remote_run(layout: Layout, name: str) -> Run:
    """Return the folder of a run that is trained on Kaggle; it need not be there."""
    return named_run(Layout(runs=layout.runs / ".remote"), name)


def brought_run(remote: Run) -> Run:
    """Return the run as it was downloaded."""
    return Run(remote.folder / "output" / remote.name)


def session_file(remote: Run) -> Path:
    """Return the JSON of a run's session."""
    return remote.folder / "session.json"


def read_session(remote: Run) -> Session | None:
    """Return a run's latest session, or None where there is none."""
    file = session_file(remote)
    if not file.exists():
        return None
    try:
        session: Session = from_json(Session, read_json(file))
    except TypeError as error:
        raise UserError(f"{file} does not hold a session ({error}). {start_anew(remote)}") from None
    return session


def record(remote: Run, session: Session) -> Session:
    """Write a session down and return it."""
    write_json(session_file(remote), dataclasses.asdict(session))
    return session


def forget(remote: Run) -> None:
    """Remove all of a remote run but its lock, which is held; first what tells of it."""
    session_file(remote).unlink(missing_ok=True)
    for path in remote.folder.iterdir():
        if path.is_dir():
            remove_folder(path)
        elif path.name != LOCK_NAME:
            path.unlink()


def start_anew(remote: Run) -> str:
    """Return how to begin again."""
    return f"Delete the folder {remote.folder} to start this run anew."
