"""The settings of a run: other settings, changed data, foreign folders."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from kaggle_cifar import recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.fields import DamagedFileError
from kaggle_cifar.models.weights import WeightsError
from kaggle_cifar.ownership import ForeignPathError, foreign_names
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run, RunFileError
from kaggle_cifar.training.run_settings import (
    DataChangedError,
    RunExistsError,
    ValidationRequiredError,
)
from kaggle_cifar.training.train import train
from tests.helpers.archives import tree
from tests.helpers.small_data import small_airbench
from tests.training.conftest import OPTIONS

pytestmark = pytest.mark.slow

RECIPE = small_airbench()


@pytest.mark.parametrize(
    ("recipe", "options", "difference"),
    [
        (small_airbench(batch_size=32), OPTIONS, "batch_size: 10, now 32"),
        (small_airbench(mixed_precision=False), OPTIONS, "mixed_precision: true, now false"),
        (small_airbench(name="other"), OPTIONS, 'recipe: "small", now "other"'),
        (RECIPE, RunOptions(seed=4), "seed: 3, now 4"),
    ],
)
def test_other_settings_are_refused(finished, project, recipe, options, difference):
    with pytest.raises(RunExistsError) as caught:
        train(project, recipe, finished.name, options)
    assert caught.value.folder == finished.folder
    assert caught.value.differences == [difference]


@pytest.mark.parametrize("change", ["early_stopping", "plateau"])
def test_recipe_that_needs_validation_is_refused_without(project, change):
    recipe = dataclasses.replace(recipes.model3_tuned(), **{change: None})
    with pytest.raises(ValidationRequiredError) as caught:
        train(project, recipe, "none", RunOptions(validation="none"))
    assert caught.value.recipe == "model3-tuned"


def test_changed_data_is_refused(project, train_and_kill):
    run = train_and_kill(RECIPE, "changed")
    path = project.images("train") / "7.png"
    whole = path.read_bytes()
    Image.new("RGB", (32, 32)).save(path)
    try:
        with pytest.raises(DataChangedError) as caught:
            train(project, RECIPE, "changed", OPTIONS)
    finally:
        path.write_bytes(whole)
    assert caught.value.folder == run.folder


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", UserError),
        ("{", UserError),
        ("[]", DamagedFileError),
        ('{"recipe": {"name": 3}, "options": {}}', DamagedFileError),
    ],
)
def test_damaged_settings_are_refused(project, content, error):
    run = Run(project.runs / "damaged")
    run.folder.mkdir(parents=True, exist_ok=True)
    run.description_file.write_text(content)
    with pytest.raises(error, match=r"run\.json"):
        train(project, RECIPE, "damaged", OPTIONS)
    assert run.description_file.read_text() == content


@pytest.mark.parametrize("foreign", ["a file", "a folder", "a file of the name", "history.csv"])
def test_foreign_folder_is_refused(project, tmp_path, foreign):
    folder = tmp_path / "Documents"
    if foreign == "a file of the name":
        folder.write_text("the only copy")
    else:
        thesis = folder / ("history.csv" if foreign == "history.csv" else "thesis")
        thesis.parent.mkdir()
        thesis.mkdir() if foreign == "a folder" else thesis.write_text("the only copy")
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ForeignPathError) as caught:
        train(dataclasses.replace(project, runs=tmp_path), RECIPE, "Documents", OPTIONS)
    assert caught.value.path == folder
    assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_foreign_files_in_a_run_are_kept(project, train_and_kill):
    recipe = small_airbench(epochs=2)
    run = train_and_kill(recipe, "shared")
    run.checkpoint_file.unlink()  # it starts again
    foreign = [
        run.folder / "checkpoint" / "notes.txt",
        run.folder / "tensorboard" / "epoch",
        run.folder / "tensorboard" / "events.out.tfevents.000001.laptop.7.v2",
        run.folder / "mine.txt",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    train(project, recipe, "shared", OPTIONS, tensorboard=True)
    train(project, recipe, "shared", OPTIONS, tensorboard=True)  # finished
    assert [path.read_text() for path in foreign] == ["mine"] * 4
    assert foreign_names(run.folder / "checkpoint") == ["notes.txt"]


def test_copied_settings_do_not_make_a_run(finished, project, tmp_path):
    folder = project.runs / "copy"
    folder.mkdir()
    shutil.copy(finished.description_file, folder)
    (tmp_path / "mine.txt").write_text("mine")
    (folder / "summary.txt").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(ForeignPathError) as caught:
        train(project, RECIPE, "copy", OPTIONS)
    assert caught.value.path == folder / "summary.txt"
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_result_without_metrics_is_not_trained_over(finished, project):
    shutil.copytree(finished.folder, project.runs / "bare")
    run = Run(project.runs / "bare")
    run.metrics_file.unlink()
    before = run.weights_file.read_bytes()
    with pytest.raises(ForeignPathError) as caught:
        train(project, RECIPE, "bare", OPTIONS)
    assert caught.value.path == run.weights_file
    assert run.weights_file.read_bytes() == before


def test_settings_hold_the_hash_of_the_data(finished):
    assert len(json.loads(finished.description_file.read_text())["data_sha256"]) == 64


def cut_off(path):
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("name", "damage", "error"),
    [
        ("model.weights.h5", Path.unlink, RunFileError),
        ("model.weights.h5", cut_off, WeightsError),
        ("run.json", Path.unlink, RunFileError),
    ],
)
def test_run_with_a_damaged_result_is_not_finished(
    finished, project, tmp_path, name, damage, error
):
    folder = shutil.copytree(finished.folder, tmp_path / "damaged")
    damage(folder / name)
    before = tree(folder)
    with pytest.raises(error) as caught:
        train(dataclasses.replace(project, runs=tmp_path), RECIPE, "damaged", OPTIONS)
    assert caught.value.path == folder / name
    assert tree(folder) == before
