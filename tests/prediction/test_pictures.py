"""Pictures of any format, size and state."""

import io
import itertools
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kaggle_cifar.prediction import pictures
from kaggle_cifar.prediction.pictures import STANDARD_INPUT, PictureError, read_picture

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


@pytest.mark.parametrize(("format_name", "turned"), [("JPEG", 6), ("TIFF", 6), ("PNG", 1)])
def test_notes_have_the_size_of_the_turned_picture(tmp_path, format_name, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    path = tmp_path / "turned.bin"
    Image.new("RGB", (90, 30)).save(path, format_name, exif=exif)
    size = "90 x 30 pixels" if turned == 1 else "30 x 90 pixels"
    assert read_picture(path).notes == (size, "center crop")


@pytest.mark.parametrize(
    ("ending", "mode"),
    [*itertools.product(["png"], ["RGB", "L", "P", "1", "RGBA"]), ("jpg", "RGB"), ("jpg", "L")],
)
def test_read_picture_scales_down_what_pillow_refuses(tmp_path, monkeypatch, ending, mode):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    monkeypatch.setattr(pictures, "LARGEST", 1000)
    path = tmp_path / f"large.{ending}"
    half_red_half_blue((300, 200)).convert(mode, dither=Image.Dither.NONE).save(path)
    picture = read_picture(path)
    assert picture.notes[0] == "300 x 200 pixels"
    expected = half_red_half_blue().convert(mode, dither=Image.Dither.NONE).convert("RGB")
    assert is_about(picture.pixels[4, 4], expected.getpixel((0, 0)))
    assert is_about(picture.pixels[28, 28], expected.getpixel((0, 60)))
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_read_picture_refuses_more_than_the_memory_holds(tmp_path):
    buffer = io.BytesIO()
    Image.new("1", (8, 8)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = (1_000_000).to_bytes(4, "little") * 2
    path = tmp_path / "bomb.bmp"
    path.write_bytes(content)
    with warnings.catch_warnings(action="error"), pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.path == path
    assert "1,000,000 x 1,000,000 pixels" in str(caught.value)


SVG = b'<?xml version="1.0"?><!-- a drawing --><svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("drawing.svg", SVG, "is an SVG drawing"),
        ("photo.heic", b"\0\0\0\x18ftypheic\0\0\0\0", "pip install 'kaggle-cifar[heic]'"),
        ("text.png", b"a text", "not a picture"),
        ("empty.png", b"", "not a picture"),
    ],
)
def test_read_picture_names_other_formats(tmp_path, monkeypatch, name, content, words):
    monkeypatch.setattr(pictures, "find_spec", lambda package: None)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=re.escape(words)):
        read_picture(tmp_path / name)


@pytest.mark.parametrize("url", ["https://example.com/cat.jpg", "HTTP://x/y"])
def test_read_picture_names_a_url(url):
    with pytest.raises(PictureError, match=f"^{url} is a URL, but only files are read"):
        read_picture(Path(url))


def test_read_picture_reads_heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    half_red_half_blue().save(tmp_path / "photo.heic")
    pixels = read_picture(tmp_path / "photo.heic").pixels
    assert is_about(pixels[4, 4], RED) and is_about(pixels[28, 28], BLUE)


def test_read_picture_reads_standard_input(monkeypatch):
    buffer = io.BytesIO()
    half_red_half_blue().save(buffer, "PNG")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
    picture = read_picture(STANDARD_INPUT)
    assert is_about(picture.pixels[4, 4], RED)
    with pytest.raises(PictureError, match="Standard input is not a picture"):
        read_picture(STANDARD_INPUT)  # it is read to its end


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
