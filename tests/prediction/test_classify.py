"""The classes of pictures, and the command that prints them."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kaggle_cifar import cli, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import NotProbabilitiesError, compile_forward, read_probabilities
from kaggle_cifar.prediction import predict
from kaggle_cifar.prediction.classify import classify
from kaggle_cifar.prediction.pictures import read_picture
from kaggle_cifar.training import run as run_module
from kaggle_cifar.training import train as training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.prediction.conftest import write_untrained_run


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = project_in(tmp_path_factory.mktemp("classification"))
    write_training_data(project, 40)
    recipe = dataclasses.replace(recipes.model1(), epochs=1)
    return project, training.train(project, recipe, "model1", RunOptions())


def arguments(project, *further):
    folders = ["--data-dir", project.data, "--runs-dir", project.runs]
    return [*map(str, folders), "classify", *map(str, further)]


def invoke(project, *further):
    return CliRunner().invoke(cli.cli, arguments(project, *further))


def test_classify_gives_the_validation_probabilities(project):
    project, run = project
    rows = read_probabilities(run.folder / "validation_probabilities.npy")
    files = [project.images("train") / f"{image_id}.png" for image_id in rows["id"]]
    results = classify(run, [read_picture(file) for file in files])
    found = np.stack([result.probabilities for result in results])
    np.testing.assert_allclose(found, rows["probabilities"], atol=1e-5)


@pytest.mark.slow
def test_classify_computes_in_the_precision_of_predict(
    project, tmp_path, small_recipe, monkeypatch
):
    project = dataclasses.replace(project[0], runs=tmp_path)
    monkeypatch.setattr(run_module, "dtype_policy", lambda precision: "mixed_bfloat16")
    run = write_untrained_run(project, small_recipe)
    pixels = write_test_data(project, range(1, 9))
    ids, predicted = predict.predict(project, [run])
    files = [project.images("test") / f"{image_id}.png" for image_id in ids]
    found = np.stack([r.probabilities for r in classify(run, [read_picture(f) for f in files])])
    np.testing.assert_array_equal(found, predicted)
    in_32_bits = np.asarray(compile_forward(run.load_model("float32"))(pixels))
    assert np.abs(found - in_32_bits).max() > 1e-5


def test_classify_refuses_a_network_that_gives_no_numbers(project, tmp_path):
    project, run = project
    copy = Run(tmp_path / "copy")
    shutil.copytree(run.folder, copy.folder)
    model = run.load_model()
    model.layers[-1].bias.assign(np.full(10, np.nan))
    model.save_weights(copy.weights_file)
    with pytest.raises(NotProbabilitiesError) as caught:
        classify(copy, [read_picture(project.images("train") / "1.png")])
    assert caught.value.path == copy.weights_file


def test_classify_prints_the_likeliest_classes_with_bars(project):
    project, _ = project
    result = invoke(project, project.images("train") / "1.png")
    header, *lines = result.output.splitlines()
    assert header.endswith("1.png (32 x 32 pixels)")
    probabilities = [float(line.split()[1]) for line in lines]
    assert len(lines) == 5 and probabilities == sorted(probabilities, reverse=True)
    assert lines[0].split()[2] == "#" * round(40 * probabilities[0])


def test_classify_continues_after_a_bad_picture(project, tmp_path, capsys):
    project, _ = project
    (tmp_path / "notes.txt").write_text("no picture")
    os.mkfifo(tmp_path / "pipe")
    good = project.images("train") / "1.png"
    bad = [*(tmp_path / name for name in ("notes.txt", "gone.png", "pipe")), tmp_path]
    with pytest.raises(UserError, match="4 of 5 pictures"):
        cli.cli.main(arguments(project, "--json", good, *bad), standalone_mode=False)
    printed = capsys.readouterr()
    faults = ("is not a picture", "is missing", "is a named pipe", "is a folder")
    for path, fault in zip(bad, faults, strict=True):
        assert f"{path} {fault}" in printed.err
    content = json.loads(printed.out)
    assert content["run"] == "model1"
    answers = {part["image"]: part for part in content["images"]}
    probabilities = answers[str(good)]["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert answers[str(good)]["class"] == max(probabilities, key=probabilities.get)
    assert "not a picture" in answers[str(tmp_path / "notes.txt")]["error"]


def test_classify_without_a_run_is_an_error(tmp_path):
    project = project_in(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "p.png")
    result = invoke(project, tmp_path / "p.png")
    assert "There is no finished run" in str(result.exception)
