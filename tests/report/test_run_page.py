"""The page of a run: its values, its figures, and nothing from elsewhere."""

import dataclasses
import json
import re

import pytest
from PIL import Image

from kaggle_cifar import recipes
from kaggle_cifar.files import write_json
from kaggle_cifar.report.data_view import view_data
from kaggle_cifar.report.expectations import Expectations
from kaggle_cifar.report.prediction_view import prediction_note
from kaggle_cifar.report.reading import read_run
from kaggle_cifar.report.run_page import machine_card, run_page, value_text
from kaggle_cifar.submission.record import update_record
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from kaggle_cifar.training.train import train
from tests.helpers.small_data import project_in, write_training_data
from tests.helpers.small_runs import write_run, write_test_probabilities
from tests.report.conftest import words_of

FIGURES = {
    "accuracy",
    "loss",
    "learning_rate",
    "confusion",
    "precision_recall",
    "reliability",
    "test_classes",
}


def page_of(project, run):
    found, expectations = read_run(project, run), Expectations.read(project)
    return run_page(found, expectations, view_data(project))


def test_page_shows_all_results_and_loads_nothing(project):
    run = write_run(project, "one", accuracy=0.3)
    write_test_probabilities(run, range(1, 61))
    csv = project.submissions / "one.csv"
    csv.parent.mkdir()
    csv.write_text("id,label\n")
    scores = {"public_score": "0.71", "private_score": "0.72", "status": "COMPLETE"}
    update_record(csv, runs=["one"], submitted_at="2026-11-23T09:00:00+00:00", **scores)
    expected = Expectations.read(project).of_run("one")
    page = page_of(project, run)
    words = words_of(page)
    for part in (
        f"Expected Kaggle score {expected} 95 % prediction interval",
        expected.sources,
        f"Validation accuracy {run.read_metrics()['validation_accuracy']:.4f}",
        "a small one",
        f"one.csv one complete {expected} 0.71 0.72 2026-11-23 09:00:00",
        "60 test images; the competition itself has 300,000",
        "In both splits, pixel for pixel: 0 images",
        "400 of 400",
        "60 of 60",
        "plateau.factor 0.2",
        "train model3 --name one-again --epochs 4",
    ):
        assert part in words
    assert "What is missing" not in words
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#|\.\./index)""", page)
    assert "@import" not in page and "url(http" not in page
    assert {path.stem for path in (run.folder / "figures").iterdir()} == FIGURES
    for path in (run.folder / "figures").iterdir():
        with Image.open(path) as picture:
            assert picture.width > 600
    descriptions = re.findall(r'<figure role="img" aria-label="([^"]+)">', page)
    assert len(descriptions) == 8 and all(len(text) > 20 for text in descriptions)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_page_shows_the_accuracy_with_tta(project, no_figures):
    run = write_run(project, "one")
    write_json(run.metrics_file, run.read_metrics() | {"validation_accuracy_tta": 0.9876})
    write_test_probabilities(run, range(1, 61))
    plain = run.probabilities_file("test", "plain")
    plain.rename(run.probabilities_file("test", "tta"))
    words = words_of(page_of(project, run))
    assert "Validation accuracy with TTA 0.9876" in words
    assert "test-time augmentation (TTA)" in words
    assert "What is missing" not in words


def test_prediction_note_explains_junk_only_for_all_images():
    assert "290,000 of the 300,000 test images are junk" in prediction_note(300_000, "plain")
    assert "junk" not in prediction_note(60, "plain")


@pytest.mark.slow
def test_page_of_a_real_training(project, no_figures):
    recipe = dataclasses.replace(recipes.model1(), epochs=1)
    run = train(project, recipe, "real", RunOptions(limit=100))
    words = words_of(page_of(project, run))
    assert f"Validation accuracy {run.read_metrics()['validation_accuracy']:.4f}" in words
    assert "train model1 --name real-again --epochs 1 --limit 100" in words


@pytest.mark.parametrize(
    ("name", "still_there"),
    [
        ("history.csv", "Most confident mistakes"),
        ("validation_probabilities.npy", "Validation accuracy"),
        ("metrics.json", "unfinished"),
    ],
)
def test_page_shows_the_rest_if_a_file_is_missing(project, no_figures, name, still_there):
    run = write_run(project, "one")
    (run.folder / name).unlink()
    words = words_of(page_of(project, run))
    assert "What is missing" in words and still_there in words


def test_page_of_a_run_that_has_only_begun(project):
    write_json(project.runs / "begun" / "run.json", {"recipe": {"name": "model3", "epochs": 50}})
    words = words_of(page_of(project, Run(project.runs / "begun")))
    assert "0 of 50 epochs" in words
    assert "train model3 --name begun" in words


def test_page_shows_settings_that_no_recipe_has(project, no_figures):
    run = write_run(project, "old")
    content = json.loads(run.description_file.read_text())
    content["recipe"] |= {"warmup": {"steps": 7}, "network": "model0"}
    content["options"] = {"seed": 3, "colour": "blue"}
    write_json(run.description_file, content)
    words = words_of(page_of(project, run))
    assert "warmup.steps 7" in words and "network model0" in words and "colour blue" in words


def test_page_of_a_run_without_validation(project, no_figures):
    run = write_run(project, "all", validation="none")
    (run.folder / "validation_probabilities.npy").unlink()
    metrics = run.read_metrics()
    del metrics["validation_accuracy"]
    write_json(run.metrics_file, metrics | {"validation_images": 0})
    words = words_of(page_of(project, run))
    assert "trained on all images" in words and "Training" in words
    assert "Validation accuracy" not in words


def test_page_marks_images_that_are_unreadable(project, no_figures, tmp_path):
    run = write_run(project, "one")
    elsewhere = project_in(tmp_path / "elsewhere")
    write_training_data(elsewhere, 400)
    for image_id in range(321, 401):
        (elsewhere.images("train") / f"{image_id}.png").write_bytes(b"\x89PNG corrupt")
    page = page_of(dataclasses.replace(elsewhere, runs=project.runs), run)
    assert 'class="no-image"' in page
    assert "kaggle-cifar inspect" in words_of(page)


def test_page_shows_faulty_files_of_the_data(project, no_figures, tmp_path):
    findings = json.loads((project.data / "inspection" / "inspection.json").read_text())
    findings["train"] |= {"broken": ["7.png"], "odd_files": ["a.txt", "b.txt"]}
    elsewhere = project_in(tmp_path / "elsewhere")
    write_json(elsewhere.data / "inspection" / "inspection.json", findings)
    assert view_data(elsewhere).notes[:2] == [
        "train: 1 broken file: 7.png",
        "train: 2 unexpected files: a.txt; b.txt",
    ]


def test_page_escapes_names(project, no_figures):
    recipe = dataclasses.replace(recipes.model3(), name="mine", epochs=4)
    run = write_run(project, "one", recipe=recipe)
    content = json.loads(run.description_file.read_text())
    content["recipe"]["name"] = "<script>alert(1)</script>"
    write_json(run.description_file, content)
    assert "<script>alert" not in page_of(project, run)


def test_machine_card_names_gpus_first():
    machine = {"processor": "Xeon", "cores": 8, "gpus": ["T4", "T4"]}
    assert machine_card(machine)[1:] == ("T4, T4", "Xeon, 8 cores")
    assert machine_card({"processor": "Xeon"})[1:] == ("Xeon", "unknown cores, no GPU")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), ([], "none"), (True, "yes"), (1e-4, "0.0001"), ([8, False], "8, no")],
)
def test_value_text_is_plain(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize("column", ["accuracy", "learning_rate"])
def test_page_draws_curves_with_gaps(project, no_figures, column):
    run = write_run(project, "one")
    rows = [line.split(",") for line in run.history_file.read_text().splitlines()]
    rows[2][rows[0].index(column)] = ""
    run.history_file.write_text("\n".join(map(",".join, rows)) + "\n")
    assert "ends at" in page_of(project, run)


def test_page_says_that_early_stopping_came_too_early(project, no_figures):
    run = write_run(project, "quick")
    metrics = run.read_metrics() | {"train_images": 1600, "best_epoch": 1}
    write_json(run.metrics_file, metrics)
    words = words_of(page_of(project, run))
    assert "Stopped too early" in words and "an epoch has 25 steps" in words
    write_json(run.metrics_file, metrics | {"train_images": 40_000, "best_epoch": 4})
    assert "Stopped too early" not in words_of(page_of(project, run))


def test_page_explains_smoothed_labels(project, no_figures):
    recipe = dataclasses.replace(recipes.airbench94(), epochs=4)
    words = words_of(page_of(project, write_run(project, "smoothed", recipe=recipe)))
    assert "labels smoothed by 0.2" in words
    assert "labels smoothed" not in words_of(page_of(project, write_run(project, "plain")))


def test_page_shows_mixed_precision_under_one_heading(project, no_figures):
    recipe = dataclasses.replace(recipes.airbench94(), epochs=4)
    words = words_of(page_of(project, write_run(project, "one", recipe=recipe)))
    assert words.count("mixed_precision") == 1
    given = words_of(page_of(project, write_run(project, "two", mixed_precision=True)))
    assert re.search(r"Options .*seed 0 .*mixed_precision yes", given)
