"""Any picture to the probabilities of the ten classes: decoded, turned, cut square, classified."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaggle_cifar.competition import CLASS_NAMES, IMAGE_SIZE
from kaggle_cifar.errors import UserError
from kaggle_cifar.models.inference import compile_forward, require_finite
from kaggle_cifar.tensorflow_setup import start_tensorflow
from kaggle_cifar.training.run import Run

if TYPE_CHECKING:
    from PIL import Image

BATCH_SIZE = 500  # images
TOP = 5  # classes shown of an image
BAR = 40  # characters of a certain class


@dataclass(frozen=True)
class Picture:
    """A picture as the networks take it, and what was done to make it so."""

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
        """The class indices, the likeliest first."""
        return np.argsort(-self.probabilities, kind="stable")


def read_picture(file: Path) -> Picture:
    """Return a picture of any format that Pillow reads, as 32 x 32 pixels.

    It is turned as its EXIF says, laid on white where it is transparent, cut to its middle
    square and scaled. Of several frames the first is taken.

    Raises
    ------
    UserError
        When the file is missing, no picture, damaged, or too large to decode safely.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as image:
            notes = describe(image)
            upright = to_rgb(ImageOps.exif_transpose(image))
            size = (IMAGE_SIZE, IMAGE_SIZE)
            square = ImageOps.fit(upright, size, Image.Resampling.LANCZOS)
            return Picture(file, np.asarray(square), notes)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{file} is missing.") from None
    except IsADirectoryError:
        raise UserError(f"{file} is a folder. Name the pictures in it.") from None
    except UnidentifiedImageError:
        raise UserError(f"{file} is not a picture of any format that can be read here.") from None
    except Image.DecompressionBombError:
        raise UserError(
            f"{file} claims more pixels than are safe to decode. Scale it down first."
        ) from None
    except Exception as error:  # damaged files make decoders raise nearly everything
        raise UserError(f"{file} is damaged or cut off and was not classified ({error}).") from None


def describe(image: "Image.Image") -> tuple[str, ...]:
    """Return what a picture is and what is to be left away of it."""
    notes = [f"{image.width} x {image.height} pixels"]
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"the first of {frames} frames")
    if image.width != image.height:
        notes.append("its middle square")
    if image.has_transparency_data:
        notes.append("on white where it is transparent")
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
    """Return grey values of 16 bits, or of a scale that nobody knows, as uint8."""
    if mode.startswith("I;16"):
        return (values // 257).astype(np.uint8)
    values = np.nan_to_num(values.astype(float))
    low, high = values.min(), values.max()
    return ((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)


def classify(run: Run, pictures: Sequence[Picture]) -> list[Classified]:
    """Return what a run takes the pictures for, in the precision in which it predicts.

    Raises
    ------
    UserError
        When the run is unfinished or damaged.
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
    require_finite(found, run.weights_file)
    return [
        Classified(picture, probabilities)
        for picture, probabilities in zip(pictures, found, strict=True)
    ]


def as_lines(result: Classified) -> str:
    """Return a result for a terminal: the likeliest classes with a bar each."""
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
