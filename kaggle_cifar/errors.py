"""The one exception that the command line shows without a traceback."""


class UserError(Exception):
    """Something that the user can cause and put right.

    The message is a sentence that says what was wrong, what was expected, what was found and
    what to do next. The command line prints it and ends with status 1.
    """
