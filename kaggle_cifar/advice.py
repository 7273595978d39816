"""The words of advice in messages: those of the command line, or those of the Python API.

Messages are written in the words of the command line, with each command in backticks, and each
option that has a value. The API's parameters have the names of the options, so its words follow.
"""

import json
import re
import shlex
from collections.abc import Iterator

OPTION = r"--[a-z]+(?:-[a-z]+)*"
FLAGS = ("again", "detach", "mixed_precision", "predict", "tensorboard", "tta", "wait", "weighted")
FOLDERS = ("data_dir", "runs_dir", "submissions_dir")
FUNCTIONS = (
    "doctor",
    "download",
    "extract",
    "inspect",
    "predict",
    "runs",
    "sample",
    "search",
    "train",
)
METHODS = {  # of the object that a command's first argument names
    "check": "Submission({}).check",
    "export": "find_run({}).export",
    "report": "find_run({}).report",
    "submit": "Submission({}).submit",
}

_in_python = False


def use_python_words(in_python: bool) -> None:
    """Choose between the words of Python and those of the command line for this process."""
    global _in_python
    _in_python = in_python


def worded(message: str) -> str:
    """Return a message in the words of this process' front end."""
    return python_words(message) if _in_python else message


def python_words(message: str) -> str:
    """Return a message with calls and parameters in place of commands and options."""
    message = message.replace("folder options in `kaggle-cifar --help`", "`kc.set_folders`")
    parts = re.split(r"`([^`]+)`", message)
    parts[0::2] = [prose_words(prose) for prose in parts[0::2]]
    parts[1::2] = [f"`{code_words(code)}`" for code in parts[1::2]]
    return "".join(parts)


def prose_words(prose: str) -> str:
    """Return prose with the names of parameters in place of options."""
    prose = re.sub(r"\b(the|same) command\b", r"\1 call", prose)
    return re.sub(rf"(?<![\w-]){OPTION}", lambda found: f"`{mention(found[0])}`", prose)


def code_words(code: str) -> str:
    """Return the call of a command, or the argument of an option; other code stays."""
    if code.startswith("kaggle-cifar "):
        try:
            return call(code.removeprefix("kaggle-cifar "))
        except (IndexError, ValueError):  # a path with a quote, or nothing after an option
            return code
    option = re.fullmatch(rf"({OPTION}) (.+)", code)
    return argument(option[1], option[2]) if option else code


def call(command: str) -> str:
    """Return the call that does what a command does: `predict a --tta` as `kc.predict(…)`."""
    words = shlex.split(command)
    folders = []
    while words[0].startswith("--"):
        folders.append(argument(words.pop(0).removesuffix("-dir"), words.pop(0)))
    function, *words = words
    if function in METHODS:
        function = METHODS[function].format(literal(words.pop(0)))
    elif function not in FUNCTIONS:
        raise ValueError(f"There is no function for {function}.")
    made = f"kc.{function}({', '.join(arguments(words))})"
    return f"kc.set_folders({', '.join(folders)}); {made}" if folders else made


def arguments(words: list[str]) -> Iterator[str]:
    """Yield the arguments of a call from the words of a command."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            yield literal(word)
        elif parameter(word) in FLAGS:
            yield f"{parameter(word)}=True"
        else:
            yield argument(word, rest.pop(0))


def argument(option: str, value: str) -> str:
    """Return the argument of a call that an option with a value stands for."""
    if option == "--set":
        key, _, text = value.partition("=")
        return f"changes={{{json.dumps(key)}: {literal(text)}}}"
    return f"{parameter(option)}={literal(value)}"


def parameter(option: str) -> str:
    """Return the parameter of an option."""
    return "changes" if option == "--set" else option[2:].replace("-", "_")


def literal(text: str) -> str:
    """Return a word of a command as a number, or as a quoted string."""
    return text if re.fullmatch(r"\d+(\.\d+)?|…", text) else json.dumps(text, ensure_ascii=False)


def mention(option: str) -> str:
    """Return how a sentence names the parameter of an option."""
    name = parameter(option)
    if name in FOLDERS:
        return f"kc.set_folders({name.removesuffix('_dir')}=…)"
    return f"{name}=True" if name in FLAGS else name
