"""Which pages a report writes, and what it never replaces."""

import re

import pytest

from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, lock, write_text
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.report.report import comparison_name, report
from kaggle_cifar.training.find_runs import named_run
from kaggle_cifar.training.run import Run
from tests.helpers.small_runs import write_run
from tests.report.conftest import words_of


def words_of_index(project):
    return words_of((project.runs / "index.html").read_text())


def test_report_of_two_runs_writes_four_pages(project, no_figures, capsys):
    runs = [write_run(project, name) for name in "ab"]
    report(project, runs)
    printed = capsys.readouterr().out
    for page in ("a/report.html", "b/report.html", "a~b/report.html", "index.html"):
        assert (project.runs / page).exists()
        assert str(project.runs / page) in printed
    accuracy = runs[0].read_metrics()["validation_accuracy"]
    assert re.search(rf"^a +0\.9000 +{accuracy:.4f}$", printed, re.MULTILINE)
    assert "a~b" in words_of_index(project)


def test_report_twice_writes_the_same_page(project):
    run = write_run(project, "one")
    report(project, [run])
    figures = [run.folder / "report.html", *sorted((run.folder / "figures").iterdir())]
    before = [path.read_bytes() for path in figures]
    report(project, [run])
    assert [path.read_bytes() for path in figures] == before


def test_report_of_the_same_run_twice_is_allowed(project, no_figures):
    run = write_run(project, "a" * 100)
    report(project, [run, run])
    assert (project.runs / comparison_name([run.name] * 2) / "report.html").exists()


def test_comparison_name_is_short_and_unique():
    names = [f"a-rather-long-name-{i}" for i in range(50)]
    assert len(comparison_name(names)) <= 120
    assert comparison_name(names) != comparison_name(names[:-1])


@pytest.mark.parametrize("names", [["a", "b"], ["a-and-b", "c"], ["a" * 150, "b"], ["a"] * 100])
def test_comparison_name_is_no_name_of_a_run(project, names):
    with pytest.raises(UserError):
        named_run(project, comparison_name(names))


@pytest.mark.parametrize("place", ["one/report.html", "index.html", "one~one/report.html"])
def test_report_refuses_a_foreign_page_before_it_writes(project, no_figures, place):
    run = write_run(project, "one")
    path = project.runs / place
    write_text(path, "<!DOCTYPE html><title>mine</title>")
    files = set(project.runs.rglob("*.*"))
    with pytest.raises(ForeignPathError) as caught:
        report(project, [run, run])
    assert caught.value.path == path
    assert path.read_text() == "<!DOCTYPE html><title>mine</title>"
    assert set(project.runs.rglob("*.*")) <= files | {project.runs / ".kaggle-cifar.lock"}


def test_report_never_replaces_a_foreign_figure(project):
    run = write_run(project, "one")
    path = run.folder / "figures" / "accuracy.png"
    write_text(path, "mine")
    (run.folder / "validation_probabilities.npy").unlink()
    with pytest.raises(ForeignPathError) as caught:
        report(project, [run])
    assert caught.value.path == path and path.read_text() == "mine"


def test_report_of_runs_keeps_a_run_of_a_similar_name(project, no_figures):
    runs = [write_run(project, name) for name in ("a", "b", "a-and-b")]
    report(project, [runs[2]])
    before = (runs[2].folder / "report.html").read_bytes()
    report(project, runs[:2])
    assert (runs[2].folder / "report.html").read_bytes() == before
    links = re.findall(r'href="([^"]+)/report.html"', (project.runs / "index.html").read_text())
    assert set(links) == {"a", "b", "a-and-b", "a~b"}


def test_index_names_a_damaged_file(project, no_figures):
    run, damaged = (write_run(project, name) for name in ("whole", "damaged"))
    damaged.metrics_file.write_text('{"parameters": "many"}')
    report(project, [run])
    assert str(damaged.metrics_file) in words_of_index(project)


def test_index_links_to_the_pages_that_exist(project, no_figures):
    first, _ = (write_run(project, name) for name in ("with-page", "without=page,x"))
    report(project, [first])
    page = (project.runs / "index.html").read_text()
    assert 'href="with-page/report.html"' in page
    assert re.search("without=page, ?x", words_of_index(project))
    assert "without%3Dpage" not in page
    report(project, [Run(project.runs / "without=page,x")])
    assert 'href="without%3Dpage%2Cx/report.html"' in (project.runs / "index.html").read_text()


def test_report_refuses_to_run_twice_at_once(project):
    run = write_run(project, "one")
    with lock(project.runs, "report"), pytest.raises(BusyError):
        report(project, [run])
    assert not (run.folder / "report.html").exists()
