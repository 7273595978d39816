"""The exceptions that the command line shows without a traceback."""


class UserError(Exception):
    """Something that the user can cause and put right.

    The message is a sentence that says what was wrong, what was expected, what was found and
    what to do next. The command line prints it and ends with status 1.
    """


class DamagedDownloadError(UserError):
    """A file is not what Kaggle serves under its name; `fault` says why, without what to do."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(f"{fault} {remedy}".strip())
        self.fault = fault
