"""A small sample in the working directory, and the API on its default folders."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaggle_cifar.api import folders
from kaggle_cifar.data import synthetic
from kaggle_cifar.data.extract import extract
from kaggle_cifar.files import ProjectPaths

small_sample = functools.partial(synthetic.draw_sample, train_count=120, test_count=110)


@pytest.fixture(autouse=True)
def default_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "_chosen", {})
    for name in folders.NAMES:
        monkeypatch.delenv(folders.variable(name), raising=False)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with the extracted sample in its data folder."""
    folder = tmp_path_factory.mktemp("sample")
    small_sample(folder / "data" / "raw")
    extract(ProjectPaths(folder / "data"))
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)
