"""The table of networks, and modules made from the code of own ones."""

import sys

import pytest

from kaggle_cifar.models import NetworkError, names, registry
from kaggle_cifar.models.registry import load_module
from tests.helpers.own_network import LINES


@pytest.mark.parametrize("name", names())
def test_table_lists_modules_with_a_build_function(name):
    assert callable(load_module(name).build)


def test_own_network_is_executed_once_per_version():
    module = load_module("my_net.py", LINES)
    assert module is load_module("my_net.py", LINES)
    assert module is not load_module("my_net.py", [*LINES, "changed = True"])
    assert sys.modules[module.__name__] is module
    assert registry.digest_of(LINES)[:12] in module.__file__


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1\ndef build(:\n", 2),
        ("import nothing_of_that_name\n", 1),
        ("\n\nx = undefined\n", 3),
        ("def f():\n    raise ValueError\n\nf()\n", 2),
        ("import sys\nsys.exit('bye')\n", 2),
        ("x = 1\n", None),
        ("build = 3\n", None),
    ],
)
def test_faulty_code_is_an_error_with_its_line(code, line):
    before = set(sys.modules)
    with pytest.raises(NetworkError) as caught:
        load_module("faulty.py", code.split("\n"))
    error = caught.value
    assert (error.network, error.fault, error.line) == ("faulty.py", "file", line)
    assert not [name for name in set(sys.modules) - before if "faulty" in name and line]


def test_code_with_a_null_byte_is_an_error():
    with pytest.raises(NetworkError) as caught:
        load_module("faulty.py", ["x = '\0'"])
    assert caught.value.fault == "file"  # Python before 3.11.4 does not name its line
