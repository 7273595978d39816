"""Any picture to the probabilities of the ten classes: decoded, cropped, scaled, classified."""

import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SIZE
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import compile_forward, require_probabilities
from kaggle_cifar.ownership import kind_of_file
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.run import Run, how_to_replace

if TYPE_CHECKING:
    from PIL import Image

BATCH_SIZE = 500  # images
TOP = 5  # classes shown of an image
BAR = 40  # characters of a bar of probability 1


class PictureError(UserError):
    """A picture cannot be read; `path` is its file."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(f"{path} {fault}")
        self.path = path


@dataclass(frozen=True)
class Picture:
    """A picture as the networks take it, and notes on how it was converted."""

    file: Path
    pixels: np.ndarray  # uint8 (32, 32, 3)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Classified:
    """A picture and the probability of each class."""

    picture: Picture
    probabilities: np.ndarray  # float32 (10,)

    @property
    def order(self) -> np.ndarray:
        """The class indices by falling probability."""
        return np.argsort(-self.probabilities, kind="stable")


def read_picture(file: Path) -> Picture:
    """Return a picture of any format that Pillow reads, as 32 x 32 pixels.

    The picture is turned as its EXIF data say, transparent pixels become white, and the center
    crop is scaled. If there are several frames, the first is used.

    Raises
    ------
    PictureError
        If the file is missing, not a picture, damaged, or too large to decode safely.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):  # a named pipe has no end, and may never have a beginning
            raise PictureError(file, f"is {kind_of_file(mode)}. Use the path of a picture.")
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            notes = picture_notes(image)
            upright = to_rgb(ImageOps.exif_transpose(image))
            size = (IMAGE_SIZE, IMAGE_SIZE)
            square = ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
            return Picture(file, np.asarray(square), notes)
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(file, "is missing.") from None
    except UnidentifiedImageError:
        raise PictureError(file, "is not a picture in a known format.") from None
    except Image.DecompressionBombError:
        raise PictureError(file, "has too many pixels to decode safely. Scale it down.") from None
    except Exception as error:  # damaged files make decoders raise nearly everything
        raise PictureError(file, f"is damaged ({error}).") from None


def picture_notes(image: "Image.Image") -> tuple[str, ...]:
    """Return the size of a picture and how it is converted."""
    notes = [f"{image.width} x {image.height} pixels"]
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
    if image.width != image.height:
        notes.append("center crop")
    if image.has_transparency_data:
        notes.append("transparency on white")
    return tuple(notes)


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


def classify(run: Run, pictures: Sequence[Picture]) -> list[Classified]:
    """Return a run's probabilities of each picture, in the precision that `predict` uses.

    Raises
    ------
    UserError
        If the run is unfinished or damaged.
    """
    run.require_finished()
    start_tensorflow()
    forward = compile_forward(run.load_model())
    pixels = np.stack([picture.pixels for picture in pictures])
    parts = [
        np.asarray(forward(pixels[start : start + BATCH_SIZE]))
        for start in range(0, len(pixels), BATCH_SIZE)
    ]
    found = np.concatenate(parts)
    require_probabilities(found, run.weights_file, how_to_replace(run.weights_file))
    return [
        Classified(picture, probabilities)
        for picture, probabilities in zip(pictures, found, strict=True)
    ]


def as_lines(result: Classified) -> str:
    """Return a result for the terminal: the likeliest classes, each with a bar."""
    lines = [f"{result.picture.file} ({', '.join(result.picture.notes)})"]
    for index in result.order[:TOP]:
        probability = float(result.probabilities[index])
        bar = "#" * round(BAR * probability)
        lines.append(f"  {CLASS_NAMES[index]:<10}  {probability:.3f}  {bar}".rstrip())
    return "\n".join(lines)


def as_json(result: Classified) -> dict[str, Any]:
    """Return a result as JSON values."""
    return {
        "image": str(result.picture.file),
        "class": CLASS_NAMES[result.order[0]],
        "probabilities": {
            name: round(float(probability), 6)
            for name, probability in zip(CLASS_NAMES, result.probabilities, strict=True)
        },
        "notes": list(result.picture.notes),
    }
