"""A toolkit for the Kaggle competition CIFAR-10 - Object Recognition in Images.

The public names are imported when they are used, so that `import kaggle_cifar` is fast.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Recipe",
    "Run",
    "Submission",
    "UserError",
    "doctor",
    "download",
    "extract",
    "find_run",
    "inspect",
    "list_recipes",
    "predict",
    "register_network",
    "runs",
    "sample",
    "search",
    "set_folders",
    "train",
    "train_folds",
    "train_seeds",
]

if TYPE_CHECKING:
    from kaggle_cifar.api.data import doctor, download, extract, inspect, sample
    from kaggle_cifar.api.folders import set_folders
    from kaggle_cifar.api.networks import register_network
    from kaggle_cifar.api.recipes import list_recipes
    from kaggle_cifar.api.runs import Run, find_run, runs
    from kaggle_cifar.api.searches import search
    from kaggle_cifar.api.submissions import Submission, predict
    from kaggle_cifar.api.training import train, train_folds, train_seeds
    from kaggle_cifar.errors import UserError
    from kaggle_cifar.recipes import Recipe

_MODULES = {  # the module of each public name
    "Recipe": "recipes",
    "Run": "api.runs",
    "Submission": "api.submissions",
    "UserError": "errors",
    "doctor": "api.data",
    "download": "api.data",
    "extract": "api.data",
    "find_run": "api.runs",
    "inspect": "api.data",
    "list_recipes": "api.recipes",
    "predict": "api.submissions",
    "register_network": "api.networks",
    "runs": "api.runs",
    "sample": "api.data",
    "search": "api.searches",
    "set_folders": "api.folders",
    "train": "api.training",
    "train_folds": "api.training",
    "train_seeds": "api.training",
}


class _Package(ModuleType):
    """The package, whose public functions win over modules with the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # The import of the module `kaggle_cifar.search` would hide the function `search`.
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    importlib.import_module(f"{__name__}.advice").use_python_words(True)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
