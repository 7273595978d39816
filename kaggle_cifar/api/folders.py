"""The folders of the project that the API works in."""

import os
from pathlib import Path

from kaggle_cifar.api.arguments import require_type
from kaggle_cifar.files import ProjectPaths, require_folder_path

NAMES = ("data", "runs", "submissions")  # also the default folders

_chosen: dict[str, Path] = {}


def variable(name: str) -> str:
    """Return the environment variable of one of the folders."""
    return f"KAGGLE_CIFAR_{name.upper()}_DIR"


def set_folders(
    data: str | os.PathLike[str] | None = None,
    runs: str | os.PathLike[str] | None = None,
    submissions: str | os.PathLike[str] | None = None,
) -> None:
    """Choose the project's folders for all later calls.

    A folder that is not named stays as it is. The defaults are those of the command line: the
    environment variables `KAGGLE_CIFAR_DATA_DIR`, `KAGGLE_CIFAR_RUNS_DIR` and
    `KAGGLE_CIFAR_SUBMISSIONS_DIR`, then the folders `data`, `runs` and `submissions` in the working
    directory.

    Parameters
    ----------
    data
        Folder of the archives and images. Use a fast disk.
    runs
        Folder of the trained runs. Use one that outlives the session.
    submissions
        Folder of the CSV files for Kaggle.

    Examples
    --------
    >>> import kaggle_cifar as kc
    >>> kc.set_folders(data="data", runs="runs", submissions="submissions")
    """
    for name, folder in zip(NAMES, (data, runs, submissions), strict=True):
        require_type(name, folder, str | os.PathLike | None, "a path")
        if folder is not None:
            _chosen[name] = Path(folder).expanduser()


def current_project() -> ProjectPaths:
    """Return the chosen folders, or those of the environment, or the default ones.

    Raises
    ------
    NotAFolderError
        If one of them is a file.
    """
    folders = (_chosen.get(name) or Path(os.environ.get(variable(name)) or name) for name in NAMES)
    return ProjectPaths(*map(require_folder_path, folders))
