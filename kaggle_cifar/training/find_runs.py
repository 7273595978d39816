"""Find runs by name."""

from collections.abc import Sequence

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import ProjectPaths, read_json
from kaggle_cifar.recipes import require_name
from kaggle_cifar.training.run import Run


class RunNotFoundError(UserError):
    """There is no run called `name`; `known` are the names of all runs."""

    def __init__(self, name: str, project: ProjectPaths, known: Sequence[str]) -> None:
        super().__init__(
            f"There is no run {name!r} in {project.runs}. Existing runs: "
            f"{', '.join(known) or 'none'}. Run `{project.command('train')}` to train one."
        )
        self.name, self.known = name, known


class NoFinishedRunError(UserError):
    """No run in `folder` is finished."""

    def __init__(self, project: ProjectPaths) -> None:
        super().__init__(
            f"There is no finished run in {project.runs}. Run `{project.command('train')}` to "
            "train one."
        )
        self.folder = project.runs


class DuplicateRunError(UserError):
    """The run `name` was named twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The run {name} was named twice. Name each run once.")
        self.name = name


def named_run(project: ProjectPaths, name: str) -> Run:
    """Return the run called `name`, which need not exist.

    Raises
    ------
    InvalidNameError
        If a folder cannot have that name on every system, or it leads elsewhere.
    """
    require_name("run", name)
    return Run(project.runs / name)


def find_run(project: ProjectPaths, name: str) -> Run:
    """Return the existing run called `name`.

    Raises
    ------
    RunNotFoundError
        If there is none.
    RunFileError
        If it has lost its run.json.
    """
    run = named_run(project, name)
    run.require_description()
    if not run.description_file.exists():
        raise RunNotFoundError(name, project, [run.name for run in all_runs(project)])
    return run


def chosen_runs(project: ProjectPaths, names: Sequence[str]) -> list[Run]:
    """Return the runs with these names, by default the newest finished.

    Raises
    ------
    DuplicateRunError
        If a name is given twice.
    RunNotFoundError
        If a run does not exist.
    NoFinishedRunError
        If there are no names and no run is finished.
    """
    for name in names:
        if names.count(name) > 1:
            raise DuplicateRunError(name)
    return [find_run(project, name) for name in names] or [newest_finished_run(project)]


def all_runs(project: ProjectPaths) -> list[Run]:
    """Return all runs in the order in which they were started."""
    files = project.runs.glob("*/run.json")
    return [Run(file.parent) for file in sorted(files, key=lambda file: file.lstat().st_mtime_ns)]


def lost_runs(project: ProjectPaths) -> list[Run]:
    """Return the runs that have lost their run.json, by name."""
    runs = [Run(folder) for folder in sorted(project.runs.glob("*"))]
    return [run for run in runs if run.has_lost_description]


def newest_finished_run(project: ProjectPaths) -> Run:
    """Return the run that finished last; trials of searches are ignored.

    Raises
    ------
    NoFinishedRunError
        If no run is finished.
    """
    finished = [run for run in all_runs(project) if run.finished and not _is_trial(run)]
    if not finished:
        raise NoFinishedRunError(project)
    return max(finished, key=lambda run: run.metrics_file.stat().st_mtime_ns)


def _is_trial(run: Run) -> bool:
    """Return whether the run is a trial; one with a damaged run.json is not."""
    try:
        return bool(read_json(run.description_file)["options"].get("search"))
    except (UserError, KeyError, TypeError, AttributeError):
        return False
