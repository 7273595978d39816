"""Any picture as the networks take it: decoded, turned, cropped to a square and scaled."""

import io
import math
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from kaggle_cifar.competition import IMAGE_SIZE
from kaggle_cifar.errors import UserError
from kaggle_cifar.ownership import kind_of_file

if TYPE_CHECKING:
    from PIL import Image

STANDARD_INPUT = Path("-")
URL = r"(?i)(https?|ftp|file|s3|gs):"
HEADER = 1000  # bytes that show a file's format
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
LARGEST = 2**25  # pixels of a picture that is not scaled down first, 134 MB in memory
BYTES = 4  # of a decoded pixel


class PictureError(UserError):
    """A picture cannot be read; `path` is its file, or STANDARD_INPUT."""

    def __init__(self, path: Path, fault: str) -> None:
        name = "Standard input" if path == STANDARD_INPUT else str(path)
        if re.match(URL, name):
            name = re.sub(r"[/\\]+", "//", name, count=1)  # a Path has one slash there
        super().__init__(f"{name} {fault}")
        self.path = path


@dataclass(frozen=True)
class Picture:
    """A picture as the networks take it, and notes on how it was converted."""

    file: Path
    pixels: np.ndarray  # uint8 (32, 32, 3)
    notes: tuple[str, ...]


def read_picture(file: Path) -> Picture:
    """Return a picture of a format that Pillow reads, as 32 x 32 pixels.

    The picture is turned as its EXIF data say, transparent pixels become white, and the center
    crop is scaled. If there are several frames, the first is used. HEIC needs pillow-heif.
    STANDARD_INPUT is read to its end.

    Raises
    ------
    PictureError
        If the file is missing, not a picture, damaged, or does not fit into the memory.
    """
    from PIL import UnidentifiedImageError

    try:
        with open_file(file) as content:
            require_pixels(file, content.read(HEADER))
            content.seek(0)
            with warnings.catch_warnings(action="ignore"), any_size():
                return convert(file, content)
    except PictureError:
        raise
    except FileNotFoundError:
        fault = "is missing."
        if re.match(URL, str(file)):
            fault = "is a URL, but only files are read. Download it and name the file."
        raise PictureError(file, fault) from None
    except UnidentifiedImageError:
        raise PictureError(file, "is not a picture in a known format.") from None
    except Exception as error:  # damaged files make decoders raise nearly everything
        raise PictureError(file, f"is damaged ({error}).") from None


def open_file(file: Path) -> BinaryIO:
    """Return an open file, or what standard input holds."""
    if file == STANDARD_INPUT:
        return io.BytesIO(sys.stdin.buffer.read())
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):  # a named pipe has no end, and may never have a beginning
        raise PictureError(file, f"is {kind_of_file(mode)}. Use the path of a picture.")
    return file.open("rb")


def require_pixels(file: Path, header: bytes) -> None:
    """Raise a PictureError for an SVG drawing, or for HEIC without the package that reads it."""
    if b"<svg" in header.lower():
        raise PictureError(file, "is an SVG drawing, which has no pixels. Export it as PNG.")
    if header[4:8] == b"ftyp" and header[8:12] in HEIC and not find_spec("pillow_heif"):
        raise PictureError(
            file, "has the format HEIC. To read it, run: pip install 'kaggle-cifar[heic]'"
        )


@contextmanager
def any_size() -> Iterator[None]:
    """Turn off Pillow's limit of pixels, which `require_memory` replaces."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def convert(file: Path, content: BinaryIO) -> Picture:
    """Return the picture in a file's content; raises nearly anything if it is damaged."""
    from PIL import Image, ImageOps

    if find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with Image.open(content) as image:
        sides = image.size
        if math.prod(sides) > LARGEST:
            image.draft(None, (IMAGE_SIZE, IMAGE_SIZE))  # a JPEG is decoded smaller
        require_memory(file, sides, math.prod(image.size))
        notes = picture_notes(image)
        upright = ImageOps.exif_transpose(scaled_down(image))
        width, height = sorted(sides, reverse=upright.width > upright.height)
        size = (IMAGE_SIZE, IMAGE_SIZE)
        square = ImageOps.fit(to_rgb(upright), size, Image.Resampling.LANCZOS)
        pixels = np.asarray(square)
    return Picture(file, pixels, (f"{width} x {height} pixels", *notes))


def require_memory(file: Path, sides: tuple[int, int], pixels: int) -> None:
    """Raise a PictureError if so many pixels fill half of the memory; any file may claim them."""
    import psutil

    needed, allowed = BYTES * pixels, psutil.virtual_memory().available // 2
    if needed > allowed:
        raise PictureError(
            file,
            f"has {sides[0]:,} x {sides[1]:,} pixels, which take {needed / 2**30:.1f} GiB, but at "
            f"most {allowed / 2**30:.1f} GiB are used for a picture. Scale it down.",
        )


def scaled_down(image: "Image.Image") -> "Image.Image":
    """Return a picture with at most LARGEST pixels, so that its conversion needs little memory."""
    from PIL import Image

    factor = math.ceil(math.sqrt(image.width * image.height / LARGEST))
    if factor == 1:
        return image
    if image.mode in ("1", "P"):  # its values cannot be averaged
        size = (max(1, image.width // factor), max(1, image.height // factor))
        return image.resize(size, Image.Resampling.NEAREST)
    return image.reduce(factor)


def picture_notes(image: "Image.Image") -> list[str]:
    """Return how a picture is converted."""
    frames = getattr(image, "n_frames", 1)
    notes = {
        f"first of {frames} frames": frames > 1,
        "center crop": image.width != image.height,
        "transparency on white": image.has_transparency_data,
    }
    return [note for note, applies in notes.items() if applies]


def to_rgb(image: "Image.Image") -> "Image.Image":
    """Return a picture of any mode as RGB with 8 bits a channel."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        return Image.fromarray(to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def to_8_bits(values: np.ndarray, mode: str) -> np.ndarray:
    """Return grey values as uint8; those of 32 bits are stretched to the full range."""
    if mode.startswith("I;16"):
        return np.asarray(values // 257).astype(np.uint8)
    values = np.nan_to_num(values.astype(float))
    low, high = values.min(), values.max()
    return np.asarray((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
