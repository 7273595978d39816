"""The words of advice: commands and options, or calls and parameters."""

import ast
import inspect
from pathlib import Path

import pytest

import kaggle_cifar
from kaggle_cifar import advice, cli
from kaggle_cifar.errors import UserError

PACKAGE = Path(kaggle_cifar.__file__).parent


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Use another --name.", "Use another `name`."),
        ("Use a longer --time-budget.", "Use a longer `time_budget`."),
        ("Use --again to send it.", "Use `again=True` to send it."),
        ("Use `--validation last20`.", 'Use `validation="last20"`.'),
        ("Use `--set batch_size=64`.", 'Use `changes={"batch_size": 64}`.'),
        ("Choose another --data-dir.", "Choose another `kc.set_folders(data=…)`."),
        ("Run `kaggle-cifar download`.", "Run `kc.download()`."),
        ("Run `kaggle-cifar predict a b --tta`.", 'Run `kc.predict("a", "b", tta=True)`.'),
        (
            "Run `kaggle-cifar train 'my recipe.json' --name x --epochs 3`.",
            'Run `kc.train("my recipe.json", name="x", epochs=3)`.',
        ),
        (
            "Run `kaggle-cifar submit a.csv --wait`.",
            'Run `kc.Submission("a.csv").submit(wait=True)`.',
        ),
        (
            "Run `kaggle-cifar --data-dir x download`.",
            'Run `kc.set_folders(data="x"); kc.download()`.',
        ),
        ("Run the same command without --detach.", "Run the same call without `detach=True`."),
        ("Run `ray start --head`.", "Run `ray start --head`."),
        ("Run `kaggle-cifar sample it's`.", "Run `kaggle-cifar sample it's`."),
        ("Run `kaggle-cifar classify a.png`.", "Run `kaggle-cifar classify a.png`."),
        ("Run `kaggle-cifar report`.", "Run `kaggle-cifar report`."),
        ("Run `kaggle-cifar --data-dir`.", "Run `kaggle-cifar --data-dir`."),
        ("The run a--b is in c--d/e.", "The run a--b is in c--d/e."),
    ],
)
def test_python_words_are_calls_and_parameters(message, words):
    assert advice.python_words(message) == words
    assert advice.python_words(words) == words


def test_error_uses_the_words_of_the_front_end():
    error = UserError("Use another --name.")
    assert str(error) == error.message
    advice.use_python_words(True)
    assert str(error) == "Use another `name`."
    assert error.message == "Use another --name."


def texts(module):
    """Yield the strings of a module except its docstrings, with X for each value in them."""
    tree = ast.parse(module.read_text())
    parts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(part) for value in ast.walk(node) if value is not node for part in [value]}
        if isinstance(node, ast.Expr):
            parts.add(id(node.value))
    for node in ast.walk(tree):
        if id(node) in parts:
            continue
        if isinstance(node, ast.JoinedStr):
            values = (getattr(part, "value", "X") for part in node.values)
            yield "".join(value if isinstance(value, str) else "X" for value in values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def advised():
    """Yield the messages of the package that name a command or an option."""
    for module in sorted(PACKAGE.rglob("*.py")):
        if module.parent.name != "cli" and module.name not in ("advice.py", "script.py"):
            for text in texts(module):
                if "`kaggle-cifar " in text or (" --" in text and " " in text.strip()):
                    yield text


def test_package_has_messages_with_advice():
    assert len(list(advised())) > 30


@pytest.mark.parametrize("message", sorted(set(advised())))
def test_message_has_words_for_python(message):
    words = advice.python_words(message)
    prose, codes = words.split("`")[0::2], words.split("`")[1::2]
    assert "--" not in "".join(prose)
    assert "`kaggle-cifar" not in words
    for code in codes:
        if code.startswith("kc."):
            require_calls_of_the_api(code.replace("…", "..."))


def require_calls_of_the_api(code):
    """Raise an exception unless each function of a line of code takes its arguments."""
    for call in ast.walk(ast.parse(code)):
        if isinstance(call, ast.Call) and isinstance(call.func.value, ast.Name):
            function = getattr(kaggle_cifar, call.func.attr)
            keywords = {keyword.arg: None for keyword in call.keywords}
            inspect.signature(function).bind(*call.args, **keywords)


@pytest.mark.parametrize("name", ["train", "search", "predict", "download", "sample", "inspect"])
def test_options_have_parameters_of_the_same_name(name):
    function = getattr(kaggle_cifar, name)
    parameters = set(inspect.signature(function).parameters)
    if name == "train":
        for several in (kaggle_cifar.train_seeds, kaggle_cifar.train_folds):
            parameters |= set(inspect.signature(several).parameters)
        parameters |= {"seeds", "folds"}  # functions of their own
    options = [part.opts[0] for part in cli.cli.commands[name].params if part.opts[0][0] == "-"]
    assert {advice.parameter(option) for option in options} <= parameters
