"""Findings of `inspect` about whole, duplicate, broken and unexpected files."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from kaggle_cifar.data.inspection import inspect
from kaggle_cifar.errors import DataMissingError
from kaggle_cifar.ownership import ForeignPathError
from tests.helpers.archives import tree
from tests.helpers.small_data import (
    project_in,
    write_manifest,
    write_test_data,
    write_training_data,
)


@pytest.fixture
def project(tmp_path):
    project = project_in(tmp_path)
    return project, write_training_data(project, 40), write_test_data(project, range(1, 301))


def findings_of(project):
    inspect(project)
    return json.loads((project.data / "inspection" / "inspection.json").read_text())


def test_counts_and_moments_match_the_pixels(project, capsys):
    project, train, test = project
    findings = findings_of(project)
    for name, pixels in (("train", train), ("test", test)):
        scaled = pixels / 255
        assert findings[name]["read"] == findings[name]["expected"] == len(pixels)
        np.testing.assert_allclose(findings[name]["channel_means"], scaled.mean((0, 1, 2)))
        deviations = scaled.std((0, 1, 2))
        np.testing.assert_allclose(findings[name]["channel_deviations"], deviations)
    assert set(findings["class_counts"].values()) == {4}
    output = capsys.readouterr().out
    assert "x_train shape: (40, 32, 32, 3)" in output
    assert "x_test shape:  (300, 32, 32, 3)" in output
    for name in ("classes", "class_counts"):
        with Image.open(project.data / "inspection" / f"{name}.png") as picture:
            assert picture.width > 700


def test_duplicates_in_and_between_folders_are_counted(project):
    project, _, _ = project
    train, test = project.images("train"), project.images("test")
    for copy in (3, 4):
        shutil.copy(train / "2.png", train / f"{copy}.png")
    shutil.copy(train / "2.png", test / "200.png")
    findings = findings_of(project)
    assert (findings["train"]["duplicates"], findings["test"]["duplicates"]) == (2, 0)
    assert findings["images_in_both"] == 1


def test_broken_and_unexpected_files_are_named(project, capsys):
    project, _, _ = project
    folder = project.images("test")
    (folder / "7.png").write_bytes(b"")
    (folder / "270.png").unlink()
    Image.new("RGB", (8, 8)).save(folder / "271.png")
    (folder / ".DS_Store").write_bytes(b"x")
    findings = findings_of(project)["test"]
    assert findings["read"] == 297
    assert [text.split()[0] for text in findings["broken"]] == ["7.png", "270.png", "271.png"]
    assert findings["odd_files"] == [".DS_Store"]
    output = capsys.readouterr().out
    assert "270.png is missing" in output
    assert "271.png has 8 x 8 pixels" in output


def test_hundreds_of_broken_files_are_counted(project, capsys):
    project, _, test = project
    for image_id in range(1, 251):
        (project.images("test") / f"{image_id}.png").write_bytes(b"no image")
    findings = findings_of(project)["test"]
    assert (findings["read"], len(findings["broken"])) == (50, 250)
    np.testing.assert_allclose(findings["channel_means"], (test[250:] / 255).mean((0, 1, 2)))
    output = capsys.readouterr().out
    assert "x_test shape:  (50, 32, 32, 3)" in output
    assert "test: 250 broken files (1.png is not an image (8 bytes);" in output


@pytest.mark.parametrize("name", ["classes.png", "notes.txt"])
def test_foreign_folder_is_kept(project, name):
    project, _, _ = project
    folder = project.data / "inspection"
    folder.mkdir()
    (folder / name).write_text("mine")
    with pytest.raises(ForeignPathError) as caught:
        inspect(project)
    assert caught.value.path == folder
    assert tree(folder) == {name: b"mine"}


def test_second_inspection_replaces_only_its_figures(project):
    project, _, _ = project
    inspect(project)
    folder = project.data / "inspection"
    (folder / "notes.txt").write_text("mine")
    (folder / "classes.png").unlink()
    inspect(project)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "classes.png").exists()


def test_file_that_broke_after_caching_is_named(project):
    project, _, _ = project
    write_manifest(project, "test")
    assert findings_of(project)["test"]["broken"] == []
    assert list(project.cache.glob("test-*.npy"))
    shutil.copy(project.images("test") / "8.png", project.images("test") / "7.png")
    (project.images("test") / "9.png").unlink()
    broken = findings_of(project)["test"]["broken"]
    assert broken == [
        "7.png is an image, but not the one that was extracted: its checksum differs",
        "9.png is missing",
    ]


@pytest.mark.parametrize("missing", ["raw/trainLabels.csv", "train", "test"])
def test_missing_data_leaves_no_folder(project, missing):
    project, _, _ = project
    (project.data / missing).rename(project.data / "elsewhere")
    with pytest.raises(DataMissingError) as caught:
        inspect(project)
    assert caught.value.path == project.data / missing
    assert not (project.data / "inspection").exists()
