"""What is under way on Kaggle: a folder `runs/.kaggle-cifar.remote/<name>` for each run.

run.json holds what was asked for, session.json which kernel trains it and how far it is. What
was sent, and what is being downloaded, has folders with reserved names.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, from_json, write_record
from kaggle_cifar.ownership import RESERVED, read_record, remove_reserved, reserved_path
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.run import Run

UNDER_WAY = ("queued", "running")
KIND = "session on Kaggle"


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


def remote_runs(project: ProjectPaths) -> Path:
    """Return the folder of the runs that are trained on Kaggle."""
    return project.runs / f"{RESERVED}.remote"


def remote_run(project: ProjectPaths, name: str) -> Run:
    """Return the folder of a run that is trained on Kaggle; it need not be there."""
    return named_run(ProjectPaths(runs=remote_runs(project)), name)


def kernel_folder(remote: Run) -> Path:
    """Return the folder of what is sent to Kaggle."""
    return reserved_path(remote.folder / remote.name, "kernel")


def output_folder(remote: Run) -> Path:
    """Return the folder of what is being downloaded."""
    return reserved_path(remote.folder / remote.name, "output")


def brought_run(remote: Run) -> Run:
    """Return the run as it was downloaded."""
    return Run(output_folder(remote) / remote.name)


def session_file(remote: Run) -> Path:
    """Return the JSON of a run's session."""
    return remote.folder / "session.json"


def read_session(remote: Run) -> Session | None:
    """Return a run's latest session, or None where there is none."""
    file = session_file(remote)
    content = read_record(file, KIND)
    if not content:
        return None
    try:
        session: Session = from_json(Session, content)
    except TypeError as error:
        raise UserError(f"{file} does not hold a session ({error}). {start_anew(remote)}") from None
    return session


def record(remote: Run, session: Session) -> Session:
    """Write a session down and return it."""
    write_record(session_file(remote), KIND, dataclasses.asdict(session))
    return session


def forget(remote: Run) -> None:
    """Remove what this program wrote for a remote run but its lock; first what tells of it."""
    session_file(remote).unlink(missing_ok=True)
    remote.description_file.unlink(missing_ok=True)
    remove_reserved(kernel_folder(remote))
    remove_reserved(output_folder(remote))


def start_anew(remote: Run) -> str:
    """Return how to begin again."""
    return f"Delete the folder {remote.folder} to start this run anew."
