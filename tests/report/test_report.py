"""The pages of the report: what stands in them, and what they say of what is missing."""

import dataclasses
import html
import json
import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kaggle_cifar import cli, recipes
from kaggle_cifar.data.inspection import inspect
from kaggle_cifar.errors import UserError
from kaggle_cifar.files import BusyError, lock, write_json, write_text
from kaggle_cifar.ownership import ForeignPathError
from kaggle_cifar.report.comparison_page import comparison_page
from kaggle_cifar.report.reading import read_run, read_summary, training_command
from kaggle_cifar.report.report import comparison_name, report
from kaggle_cifar.submission.record import update_record
from kaggle_cifar.training.loop import train
from kaggle_cifar.training.run import Run, RunOptions, named_run
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.helpers.small_runs import write_run, write_test_probabilities

FIGURES = {
    "accuracy",
    "loss",
    "learning_rate",
    "confusion",
    "precision_recall",
    "reliability",
    "surest_mistakes",
    "likely_label_errors",
    "test_classes",
    "test_images",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """400 training images, 80 of which validate, and 60 test images."""
    project = project_in(tmp_path_factory.mktemp("report"))
    write_training_data(project, 400)
    write_test_data(project, range(1, 61))
    inspect(project)
    return project


@pytest.fixture
def project(data, tmp_path):
    """The data with folders of runs and submissions of its own."""
    return dataclasses.replace(data, runs=tmp_path / "runs", submissions=tmp_path / "submissions")


def words_of(path):
    """Return a page's text without its marks."""
    page = re.sub(r"<(style|script)>.*?</\1>", "", path.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())


def comparison_of(project, runs):
    """Return the words of the comparison alone."""
    folder = project.runs / "comparison"
    page = comparison_page(folder, [read_run(project, run) for run in runs])
    write_text(folder / "report.html", page)
    return words_of(folder / "report.html")


def page_of(project, run):
    report(project, [run])
    return words_of(run.folder / "report.html")


def test_a_page_shows_all_there_is_and_needs_nothing_else(project):
    run = write_run(project, "one", accuracy=0.3)
    write_test_probabilities(run, range(1, 61))
    csv = project.submissions / "one.csv"
    csv.parent.mkdir()
    csv.write_text("id,label\n")
    scores = {"public_score": "0.71", "private_score": "0.72", "status": "COMPLETE"}
    update_record(csv, runs=["one"], submitted_at="2026-11-23T09:00:00+00:00", **scores)
    words = page_of(project, run)
    accuracy = run.read_metrics()["validation_accuracy"]
    for part in (
        f"Validation accuracy {accuracy:.4f}",
        "Expected score at Kaggle",
        "a small one",
        "one.csv one complete 0.71 0.72 2026-11-23 09:00:00",
        "60 test images; the competition itself has 300,000",
        "0 images are in both",
        "plateau.factor 0.2",
        "kaggle-cifar train model3 --name one --epochs 4",
    ):
        assert part in words
    assert "What is missing" not in words
    page = (run.folder / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#|\.\./index)""", page)
    assert "@import" not in page and "url(http" not in page
    assert {path.stem for path in (run.folder / "figures").iterdir()} == FIGURES
    for path in (run.folder / "figures").iterdir():
        with Image.open(path) as picture:
            assert picture.width > 600
    sections = re.findall(r'<figure role="img" aria-label="([^"]+)">', page)
    assert len(sections) == 8 and all(len(text) > 20 for text in sections)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_what_six_views_gave_is_told(project):
    run = write_run(project, "one")
    write_json(run.metrics_file, run.read_metrics() | {"validation_accuracy_tta": 0.9876})
    write_test_probabilities(run, range(1, 61))
    plain = run.probabilities_file("test", "plain")
    plain.rename(run.probabilities_file("test", "tta"))
    words = page_of(project, run)
    assert "Accuracy in six views 0.9876" in words and "Each image was seen in six views." in words
    assert "What is missing" not in words


def test_all_300000_come_with_the_sentence_about_the_junk(project):
    run = write_run(project, "one")
    write_test_probabilities(run, np.arange(1, 300_001))
    assert "290,000 of the 300,000 test images are junk" in page_of(project, run)


def test_a_real_training_can_be_reported(data, tmp_path):
    project = dataclasses.replace(data, runs=tmp_path / "runs")
    recipe = dataclasses.replace(recipes.model1(), epochs=1)
    run = train(project, recipe, "real", RunOptions(limit=100))
    words = page_of(project, run)
    assert f"Validation accuracy {run.read_metrics()['validation_accuracy']:.4f}" in words
    assert "kaggle-cifar train model1 --name real --epochs 1 --limit 100" in words


# -- what is missing


def spoil(run, name, content=None):
    path = run.folder / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)


@pytest.mark.parametrize(
    ("name", "content", "sentence", "still_there"),
    [
        ("history.csv", None, "has no epochs", "judged"),
        ("history.csv", "torn", "the column epoch is missing", "judged"),
        ("validation_probabilities.npy", None, "nothing is known of single", "metrics"),
        ("validation_probabilities.npy", "x", "does not hold probabilities", "metrics"),
        ("environment.json", None, "environment.json is missing", "judged"),
        ("environment.json", "{", "environment.json is not valid JSON", "judged"),
        ("metrics.json", None, "The run is not finished: 4 of 4 epochs", "history"),
        ("metrics.json", "[]", "it must be an object", "judged"),
        ("run.json", "[1]", "it must be an object", "judged"),
        ("run.json", '{"recipe": 3}', "test_probabilities.npy is missing", "judged"),
    ],
)
def test_what_is_missing_is_said_and_the_rest_is_read(
    project, name, content, sentence, still_there
):
    run = write_run(project, "one")
    spoil(run, name, content)
    found = read_run(project, run)
    assert any(sentence in part for part in found.missing)
    assert getattr(found, still_there)


@pytest.mark.parametrize(
    ("name", "still_there"),
    [
        ("history.csv", "The surest mistakes"),
        ("validation_probabilities.npy", "Validation accuracy"),
        ("metrics.json", "unfinished"),
    ],
)
def test_a_page_shows_the_rest(project, name, still_there):
    run = write_run(project, "one")
    spoil(run, name)
    words = page_of(project, run)
    assert "What is missing" in words and still_there in words


def test_a_run_that_has_only_begun_has_a_page(project):
    write_json(project.runs / "begun" / "run.json", {"recipe": {"name": "model3", "epochs": 50}})
    words = page_of(project, Run(project.runs / "begun"))
    assert "0 of 50 epochs" in words
    assert "kaggle-cifar train model3 --name begun" in words
    assert "begun" in words_of(project.runs / "index.html")


def test_a_run_of_another_version_has_its_page(project):
    run = write_run(project, "old")
    content = json.loads(run.description_file.read_text())
    content["recipe"] |= {"warmup": {"steps": 7}, "network": "model0"}
    content["options"] = {"seed": 3, "colour": "blue"}
    write_json(run.description_file, content)
    words = page_of(project, run)
    assert "This program's model3 is another than the run's, in network, warmup" in words
    assert "warmup.steps 7" in words and "network model0" in words and "colour blue" in words
    result = CliRunner().invoke(
        cli.cli,
        ["--data-dir", str(project.data), "--runs-dir", str(project.runs), "report"],
    )
    assert result.exception is None, result.exception


def test_a_run_trained_on_all_images_says_so(project):
    run = write_run(project, "all", validation="none")
    (run.folder / "validation_probabilities.npy").unlink()
    metrics = run.read_metrics()
    del metrics["validation_accuracy"]
    write_json(run.metrics_file, metrics | {"validation_images": 0})
    words = page_of(project, run)
    assert "trained on all images" in words and "Training" in words
    assert "Validation accuracy" not in words


def test_labels_of_other_data_are_noticed(project, tmp_path):
    run = write_run(project, "one")
    other = project_in(tmp_path / "other")
    write_training_data(other, 390)
    other = dataclasses.replace(other, runs=project.runs)
    assert "has no label for the id 391" in page_of(other, run)
    write_training_data(other, 400)
    path = other.raw / "trainLabels.csv"
    path.write_text(path.read_text().replace("cat", "dog"))
    assert "have changed since the training" in page_of(other, run)


def test_predictions_of_other_weights_are_not_shown(project):
    run = write_run(project, "one")
    write_test_probabilities(run, range(1, 61))
    run.weights_file.write_bytes(b"new weights")
    write_json(run.folder / "test_probabilities.json", {"weights_sha256": "of the old ones"})
    words = page_of(project, run)
    assert "was predicted by weights that are no longer there" in words


def test_images_that_are_gone_leave_their_place(project, tmp_path):
    run = write_run(project, "one")
    elsewhere = project_in(tmp_path / "elsewhere")
    write_training_data(elsewhere, 400)
    for image_id in range(321, 401):
        (elsewhere.images("train") / f"{image_id}.png").write_bytes(b"\x89PNG torn")
    words = page_of(dataclasses.replace(elsewhere, runs=project.runs), run)
    assert "not there" in words and "truth:" in words


def test_names_cannot_break_the_page(project):
    recipe = dataclasses.replace(recipes.model3(), name="mine", epochs=4)
    run = write_run(project, "one", recipe=recipe)
    content = json.loads(run.description_file.read_text())
    content["recipe"]["name"] = "<script>alert(1)</script>"
    write_json(run.description_file, content)
    page_of(project, run)
    for path in (run.folder / "report.html", project.runs / "index.html"):
        assert "<script>alert" not in path.read_text()


# -- the command to make it again


@pytest.mark.parametrize(
    ("changes", "options", "command"),
    [
        ({}, {}, "train model3 --name one"),
        ({"epochs": 3}, {"seed": 2}, "train model3 --name one --epochs 3 --seed 2"),
        ({"name": "mine"}, {"limit": 500}, "train {file} --name one --limit 500"),
        ({}, {"validation": "stratified"}, "train model3 --name one --validation stratified"),
        ({}, {"mixed_precision": True}, "train model3 --name one --mixed-precision"),
        ({"epochs": 7}, {"time_budget": 90.0}, "train model3 --name one --time-budget 90s"),
        ({}, {"search": "s", "limit": 100}, "search --name s --limit 100"),
        ({}, {"validation": "fold2of5"}, "train model3 --name one --validation fold2of5"),
    ],
)
def test_the_command_makes_the_same_run_again(project, changes, options, command):
    recipe = dataclasses.replace(recipes.model3(), **changes)
    run = write_run(project, "one", recipe=recipe, **{"seed": 0, **options})
    found = training_command(read_summary(project, run))
    assert found == "kaggle-cifar " + command.format(file=run.description_file)
    words = shlex.split(found)[1:]
    parameters = cli.cli.commands[words[0]].params
    given = {word for word in words if word.startswith("--")}
    assert given <= {name for parameter in parameters for name in parameter.opts}


# -- several runs


def test_several_runs_are_compared_on_common_images(project):
    runs = [write_run(project, name, 0.6 + 0.1 * i, seed=i) for i, name in enumerate("abc")]
    words = comparison_of(project, runs)
    folder = project.runs / "comparison"
    assert "All were validated on the same 80 images." in words
    assert "The mean of all 3 reaches" in words
    names = {"validation_accuracy", "validation_loss", "learning_rate", "agreement"}
    names |= {"side_by_side_1", "side_by_side_2"}
    assert {path.stem for path in (folder / "figures").iterdir()} == names
    table = words.partition("Each two runs")[2]
    for pair in ("a b", "a c", "b c"):
        assert re.search(rf"\b{pair} \d+\.\d\s%", table)


def test_the_ensemble_is_the_mean_that_predict_takes(project):
    runs = [write_run(project, name, 0.5, seed=i) for i, name in enumerate("ab")]
    rows = [np.load(run.folder / "validation_probabilities.npy") for run in runs]
    mean = np.mean([row["probabilities"] for row in rows], axis=0, dtype=float)
    accuracy = np.mean(mean.argmax(axis=1) == rows[0]["id"] % 10)
    words = comparison_of(project, runs)
    assert f"The mean of all 2 reaches {accuracy:.4f}" in words


def test_different_validation_images_are_said_to_be_so(project):
    runs = [write_run(project, name, seed=i) for i, name in enumerate("abc")]
    for run, kept in zip(runs, (slice(0, 50), slice(30, 80), slice(50, 80)), strict=True):
        path = run.folder / "validation_probabilities.npy"
        rows = np.load(path)[kept]
        np.save(path, rows)
        accuracy = np.mean(rows["probabilities"].argmax(axis=1) == rows["id"] % 10)
        write_json(run.metrics_file, run.read_metrics() | {"validation_accuracy": float(accuracy)})
    words = comparison_of(project, runs[:2])
    assert "validated on different images. 20 are common to all" in words
    words = comparison_of(project, [runs[0], runs[2]])
    assert "have none in common" in words


def test_runs_are_compared_though_one_is_unfinished(project, capsys):
    runs = [write_run(project, name) for name in "ab"]
    runs[1].metrics_file.unlink()
    report(project, runs)
    words = words_of(project.runs / "a~b" / "report.html")
    assert "b : The run is not finished" in words
    assert "Fewer than two of the runs have validation probabilities" in words
    assert "4 of 4, unfinished" in words
    assert "a  " in capsys.readouterr().out
    assert "a~b" in words_of(project.runs / "index.html")


def test_predictions_of_the_test_images_are_compared(project):
    runs = [write_run(project, name, seed=i) for i, name in enumerate("ab")]
    for seed, run in enumerate(runs):
        write_test_probabilities(run, range(1, 61), seed)
    words = comparison_of(project, runs)
    assert re.search(r"On \d+\.\d\s% of the 60 test images a, b agree", words)


def test_the_same_run_twice_and_many_names_are_no_fault(project):
    run = write_run(project, "a" * 100)
    report(project, [run, run])
    names = [f"a-rather-long-name-{i}" for i in range(50)]
    assert len(comparison_name(names)) <= 120
    assert comparison_name(names) != comparison_name(names[:-1])


# -- what this program did not write


@pytest.mark.parametrize(
    "place", ["a/report.html", "index.html", "a~b/report.html", "b/figures/loss.png"]
)
def test_a_foreign_page_or_picture_is_never_replaced(project, place):
    runs = [write_run(project, name) for name in "ab"]
    path = project.runs / place
    write_text(path, "<!DOCTYPE html><title>mine</title>")
    with pytest.raises(ForeignPathError) as caught:
        report(project, runs)
    assert caught.value.path == path
    assert path.read_text() == "<!DOCTYPE html><title>mine</title>"
    path.unlink()
    report(project, runs)
    report(project, runs)  # its own are replaced


def test_a_foreign_page_is_refused_before_any_is_written(project):
    run = write_run(project, "one")
    write_text(project.runs / "index.html", "mine")
    with pytest.raises(ForeignPathError):
        report(project, [run])
    assert not (run.folder / "report.html").exists()
    assert not (run.folder / "figures").exists()


def test_a_run_of_a_comparisons_name_is_not_replaced(project):
    runs = [write_run(project, name) for name in ("a", "b", "a-and-b")]
    report(project, [runs[2]])
    before = (runs[2].folder / "report.html").read_bytes()
    report(project, runs[:2])
    assert (runs[2].folder / "report.html").read_bytes() == before
    links = re.findall(r'href="([^"]+)/report.html"', (project.runs / "index.html").read_text())
    assert set(links) == {"a", "b", "a-and-b", "a~b"}


@pytest.mark.parametrize("names", [["a", "b"], ["a-and-b", "c"], ["a" * 150, "b"], ["a"] * 100])
def test_no_run_can_have_a_comparisons_name(project, names):
    with pytest.raises(UserError):
        named_run(project, comparison_name(names))


# -- all runs


def test_the_index_names_a_damaged_file(project):
    run, damaged = (write_run(project, name) for name in ("whole", "damaged"))
    spoil(damaged, "metrics.json", '{"parameters": "many"}')
    report(project, [run])
    words = words_of(project.runs / "index.html")
    assert f"{damaged.metrics_file} is damaged" in words


def test_the_index_has_a_line_for_every_run_and_links_to_the_pages(project):
    first, _ = (write_run(project, name) for name in ("with-page", "without=page,x"))
    report(project, [first])
    page = (project.runs / "index.html").read_text()
    assert 'href="with-page/report.html"' in page
    words = words_of(project.runs / "index.html")
    assert "without=page, x" in words or "without=page,x" in words
    assert "without%3Dpage" not in page
    report(project, [Run(project.runs / "without=page,x")])
    assert 'href="without%3Dpage%2Cx/report.html"' in (project.runs / "index.html").read_text()


def test_the_data_stand_on_the_pages_or_how_to_look_at_them(project, tmp_path):
    run = write_run(project, "one")
    words = page_of(project, run)
    assert "400 of 400" in words and "60 of 60" in words
    elsewhere = project_in(tmp_path / "elsewhere")
    write_training_data(elsewhere, 400)
    elsewhere = dataclasses.replace(elsewhere, runs=project.runs)
    assert "kaggle-cifar inspect" in page_of(elsewhere, run)


def test_two_reports_at_once_do_not_mix(project):
    run = write_run(project, "one")
    with lock(project.runs, "report"), pytest.raises(BusyError):
        report(project, [run])
    assert not (run.folder / "report.html").exists()


def test_reporting_twice_gives_the_same_page(project):
    run = write_run(project, "one")
    report(project, [run])
    before = (run.folder / "report.html").read_bytes()
    report(project, [run])
    assert (run.folder / "report.html").read_bytes() == before
