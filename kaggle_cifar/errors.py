"""Exceptions that are shown as a sentence, without a traceback."""

from pathlib import Path

from kaggle_cifar.advice import worded


class UserError(Exception):
    """A failure that the user can cause and fix.

    The message says what failed, what was expected and what to do next. The command line prints
    it and exits with status 1. A notebook shows it without a traceback. `str` returns it in the
    words of the front end in use, `message` in those of the command line.

    >>> import kaggle_cifar as kc
    >>> try:
    ...     kc.find_run("model7")
    ... except kc.UserError as error:
    ...     print(type(error).__name__)
    RunNotFoundError
    """

    @property
    def message(self) -> str:
        """The message in the words of the command line."""
        return str(self.args[0])

    def __str__(self) -> str:
        return worded(self.message)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def sentence(error: OSError) -> str:
    """Return an error of the operating system as a sentence that names its file."""
    file = f"{error.filename}: " if error.filename else ""
    return f"{file}{error.strerror or error}."


class PathError(UserError):
    """A failure of the file or folder at `path`."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class DataMissingError(PathError):
    """A file or folder of the competition's data is missing."""


class DiskFullError(UserError):
    """The disk of `path` has too little space left: `free` bytes."""

    def __init__(self, path: Path, free: int, message: str) -> None:
        super().__init__(message)
        self.path, self.free = path, free


class DamagedDownloadError(UserError):
    """A file is not the one that Kaggle serves under its name; `fault` says why."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(f"{fault} {remedy}".strip())
        self.fault = fault
