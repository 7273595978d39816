"""Runs and data for the pages, and the words of a page."""

import dataclasses
import html
import re

import pytest

from kaggle_cifar.data.inspection import inspect
from kaggle_cifar.report import components
from tests.helpers.small_data import project_in, write_test_data, write_training_data


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    """400 training images, 80 of which validate, and 60 test images."""
    project = project_in(tmp_path_factory.mktemp("report"))
    write_training_data(project, 400)
    write_test_data(project, range(1, 61))
    inspect(project)
    return project


@pytest.fixture
def project(data, tmp_path):
    """The data with its own folders of runs and submissions."""
    return dataclasses.replace(data, runs=tmp_path / "runs", submissions=tmp_path / "submissions")


@pytest.fixture
def no_figures(monkeypatch):
    """Pages without figures, which take most of a report's time."""
    monkeypatch.setattr(components, "save_titled", lambda figure, path: None)
    monkeypatch.setattr(components, "to_svg", lambda figure: "<svg></svg>")


def words_of(page):
    """Return a page's text without its tags."""
    page = page.replace("<wbr>", "")
    page = re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())
