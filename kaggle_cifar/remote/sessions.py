"""Sessions on Kaggle that train a run: a folder `runs/.kaggle-cifar.remote/<name>` for each run.

run.json holds the recipe and the options, session.json the kernel and its state. The kernel's
files and the download are in folders with reserved names.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, write_record
from kaggle_cifar.models.inference import VIEWS
from kaggle_cifar.ownership import RESERVED, read_record, remove_reserved, reserved_path
from kaggle_cifar.recipes.validation import from_json
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.run import Run

UNDER_WAY = ("queued", "running")
KIND = "session on Kaggle"


@dataclass(frozen=True)
class Session:
    """A kernel on Kaggle that trains a run, and what the next session resumes from."""

    kernel: str  # "user/slug"
    accelerator: str
    predict: bool  # the test images
    number: int = 1
    source: str | None = None  # a kernel whose output holds the run's checkpoint
    progress: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # of the source's output
    state: str = "sending"
    tta: bool = False  # predict them with test-time augmentation, too

    @property
    def views(self) -> list[str]:
        """The views of inference.VIEWS in which the test images are predicted."""
        return [views for views in VIEWS if self.predict and (views == "plain" or self.tta)]

    @property
    def url(self) -> str:
        """The kernel's page."""
        return f"https://www.kaggle.com/code/{self.kernel}"


def remote_runs(project: ProjectPaths) -> Path:
    """Return the folder of the runs that are trained on Kaggle."""
    return project.runs / f"{RESERVED}.remote"


def remote_run(project: ProjectPaths, name: str) -> Run:
    """Return the folder of a run that is trained on Kaggle; it need not exist."""
    return named_run(ProjectPaths(runs=remote_runs(project)), name)


def kernel_folder(remote: Run) -> Path:
    """Return the folder of the kernel's files, which are pushed to Kaggle."""
    return reserved_path(remote.folder / remote.name, "kernel")


def output_folder(remote: Run) -> Path:
    """Return the folder that the session's output is downloaded to."""
    return reserved_path(remote.folder / remote.name, "output")


def downloaded_run(remote: Run) -> Run:
    """Return the run in the session's output."""
    return Run(output_folder(remote) / remote.name)


def session_file(remote: Run) -> Path:
    """Return the JSON file of a run's latest session."""
    return remote.folder / "session.json"


def read_session(remote: Run) -> Session | None:
    """Return a run's latest session, or None if there is none.

    Raises
    ------
    UserError
        If its file holds something else.
    """
    file = session_file(remote)
    content = read_record(file, KIND)
    if not content:
        return None
    try:
        session: Session = from_json(Session, content, "session")
    except UserError as error:
        message = f"{file} does not hold a session. {error} {restart_advice(remote)}"
        raise UserError(message) from None
    return session


def save_session(remote: Run, session: Session) -> Session:
    """Write a session to its file and return it."""
    write_record(session_file(remote), KIND, dataclasses.asdict(session))
    return session


def remove_session(remote: Run) -> None:
    """Remove this program's files of a remote run except its lock, the record first."""
    session_file(remote).unlink(missing_ok=True)
    remote.description_file.unlink(missing_ok=True)
    remove_reserved(kernel_folder(remote))
    remove_reserved(output_folder(remote))


def restart_advice(remote: Run) -> str:
    """Return the sentence on how to start a remote run again."""
    return f"Delete {remote.folder} to start this run again."
