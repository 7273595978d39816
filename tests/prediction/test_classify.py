"""Pictures of any format, size and state, and their classes."""

import dataclasses
import io
import json
import os
import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar import cli, recipes
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import NotProbabilitiesError, compile_forward, read_probabilities
from kaggle_cifar.prediction import predict
from kaggle_cifar.prediction.classify import PictureError, classify, read_picture
from kaggle_cifar.training import run as run_module
from kaggle_cifar.training import train as training
from kaggle_cifar.training.options import RunOptions
from kaggle_cifar.training.run import Run
from tests.helpers.small_data import project_in, write_test_data, write_training_data
from tests.prediction.conftest import write_untrained_run

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def half_red_half_blue(size=(64, 64)):
    """Red above, blue below."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (0, size[1] // 2, *size))
    return image


def pixels_of(image, path, **options):
    image.save(path, **options)
    return read_picture(path).pixels


def is_about(pixel, colour):
    return np.abs(pixel.astype(int) - colour).max() < 12


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "webp", "tiff", "ppm", "ico"])
def test_read_picture_reads_common_formats(tmp_path, ending):
    pixels = pixels_of(half_red_half_blue(), tmp_path / f"picture.{ending}")
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert is_about(pixels[4, 4], RED) and is_about(pixels[28, 28], BLUE)


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (31, 33), (3000, 2000)])
def test_read_picture_scales_any_size(tmp_path, size):
    pixels = pixels_of(half_red_half_blue(size), tmp_path / "picture.png")
    assert pixels.shape == (32, 32, 3)


def test_read_picture_crops_the_center(tmp_path):
    image = Image.new("RGB", (90, 30), BLUE)
    image.paste(RED, (30, 0, 60, 30))
    assert is_about(pixels_of(image, tmp_path / "wide.png"), RED)


def test_read_picture_follows_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = pixels_of(half_red_half_blue(), tmp_path / "turned.jpg", exif=exif)
    assert is_about(pixels[4, 4], BLUE) and is_about(pixels[28, 28], RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_read_picture_shows_transparency_as_white(tmp_path, mode):
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture = image.quantize(2) if mode == "P" else image.convert(mode)
    options = {"transparency": 0} if mode == "P" else {}
    picture.save(tmp_path / "clear.png", **options)
    read = read_picture(tmp_path / "clear.png")
    assert is_about(read.pixels, WHITE)
    assert "transparency on white" in read.notes


@pytest.mark.parametrize(
    ("picture", "value"),
    [
        (Image.new("L", (40, 40), 128), 128),
        (Image.new("1", (40, 40), 1), 255),
        (Image.fromarray(np.full((40, 40), 128 * 257, np.uint16)), 128),
    ],
)
def test_read_picture_keeps_the_brightness_of_grey(tmp_path, picture, value):
    assert is_about(pixels_of(picture, tmp_path / "grey.png"), (value,) * 3)


def test_read_picture_stretches_floating_point_grey(tmp_path):
    ramp = np.linspace(-3, 5, 64, dtype=np.float32).repeat(64).reshape(64, 64)
    pixels = pixels_of(Image.fromarray(ramp), tmp_path / "ramp.tiff")
    assert pixels.min() < 10 and pixels.max() > 245


def test_read_picture_reads_cmyk(tmp_path):
    assert is_about(pixels_of(half_red_half_blue().convert("CMYK"), tmp_path / "p.jpg")[4, 4], RED)


def test_read_picture_takes_the_first_frame(tmp_path):
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE, WHITE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    picture = read_picture(tmp_path / "moving.gif")
    assert is_about(picture.pixels, RED)
    assert "first of 3 frames" in picture.notes


def bomb(path):
    """Write a small file whose header says 30,000 x 30,000 pixels."""
    buffer = io.BytesIO()
    Image.new("1", (8, 8)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = (30_000).to_bytes(4, "little") * 2
    path.write_bytes(content)


def test_read_picture_refuses_a_decompression_bomb(tmp_path):
    bomb(tmp_path / "bomb.bmp")
    with warnings.catch_warnings(action="error"), pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "bomb.bmp")
    assert caught.value.path == tmp_path / "bomb.bmp"


def content_in(format_name):
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(buffer, format_name)
    return buffer.getvalue()


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_read_picture_names_a_truncated_file(tmp_path, format_name):
    content = content_in(format_name)
    path = tmp_path / "cut.bin"
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.path == path


@given(
    format_name=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "ICO"]),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=8),
    length=st.integers(0, 6000),
)
@settings(max_examples=150)
def test_read_picture_reads_or_names_any_file(tmp_path_factory, format_name, changes, length):
    content = bytearray(content_in(format_name)[:length])
    for place, value in changes:
        if place < len(content):
            content[place] = value
    path = tmp_path_factory.getbasetemp() / "strange.bin"
    path.write_bytes(content)
    try:
        assert read_picture(path).pixels.shape == (32, 32, 3)
    except PictureError as error:
        assert error.path == path


# -- the command


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
