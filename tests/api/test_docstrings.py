"""The examples in the docstrings of the public names, run in the order of the pipeline."""

import doctest
import importlib
import inspect

import pytest

import kaggle_cifar as kc
from kaggle_cifar.competition import FILES
from kaggle_cifar.data import synthetic
from kaggle_cifar.data.synthetic import SOLUTION
from kaggle_cifar.submission.score import read_solution
from tests.api.conftest import small_sample

search_module = importlib.import_module("kaggle_cifar.search.search")

ORDER = (
    "set_folders",
    "sample",
    "extract",
    "download",
    "doctor",
    "inspect",
    "list_recipes",
    "train",
    "register_network",
    "find_run",
    "Run",
    "runs",
    "Run.plot_curves",
    "Run.plot_confusion",
    "Run.plot_gallery",
    "Run.report",
    "Run.classify",
    "Run.export",
    "Run.predict",
    "train_seeds",
    "predict",
    "Submission",
    "Submission.submit",
    "train_folds",
    "search",
    "Recipe",
    "UserError",
)


class Checker(doctest.OutputChecker):
    """Compares the value of examples that show one; ignores what they print before it."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return got.endswith(want)


def resolve(name):
    owner, _, method = name.partition(".")
    return getattr(getattr(kc, owner), method) if method else getattr(kc, owner)


def test_every_public_name_has_an_example():
    named = {name.partition(".")[0] for name in ORDER}
    assert named == set(kc.__all__)
    for name in ORDER:
        assert ">>>" in resolve(name).__doc__, name


def test_public_methods_have_docstrings():
    for owner in (kc.Run, kc.Submission):
        for name, member in vars(owner).items():
            assert name.startswith("_") or inspect.getdoc(member), name


@pytest.mark.slow
def test_examples_run(kaggle_site, tmp_path, monkeypatch):
    drawn = tmp_path / "drawn"
    small_sample(drawn)
    kaggle_site.files = {name: (drawn / name).read_bytes() for name in FILES}
    kaggle_site.solution = dict.fromkeys(range(1, 111), ("cat", "Ignored"))
    for image_id, label, usage in read_solution(drawn / SOLUTION):
        kaggle_site.solution[image_id] = (label, usage.title())
    monkeypatch.setattr(synthetic, "draw_sample", small_sample)
    monkeypatch.setattr(search_module, "find_spec", lambda name: None)  # no Ray
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    runner = doctest.DocTestRunner(Checker())
    for name in ORDER:
        [test] = [
            test
            for test in doctest.DocTestFinder(recurse=False).find(resolve(name), name, globs={})
            if test.examples
        ]
        report: list[str] = []
        assert not runner.run(test, out=report.append).failed, "".join(report)
