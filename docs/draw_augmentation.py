"""Draw what each change of the training images does into docs/pictures/augmentation.png.

python docs/draw_augmentation.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kaggle_cifar.training.augmentation import geometry, mixing, policies

PICTURE = Path(__file__).parent / "pictures" / "augmentation.png"
COLUMNS, CELL, ZOOM, MARGIN, CAPTION = 6, 112, 3, 8, 16  # pixels
FINER = 8  # times as many pixels a side while drawing, which smooths the outlines
STRENGTH = 0.7  # of the policy operations
PAPER, INK = "#ffffff", "#1f2328"


def draw_truck() -> np.ndarray:
    """Return a truck on a road, uint8 (32, 32, 3)."""
    image, draw = canvas("#9cc4e4")
    scaled(draw.rectangle, (0, 23, 32, 32), fill="#7d8a6a")
    scaled(draw.rectangle, (3, 9, 19, 23), fill="#c8553d")
    scaled(draw.polygon, (20, 14, 25, 14, 29, 19, 29, 23, 20, 23), fill="#35608d")
    scaled(draw.polygon, (22, 15, 25, 15, 27, 18, 22, 18), fill="#dbe9f4")
    for left in (5, 21):
        scaled(draw.ellipse, (left, 20, left + 6, 26), fill="#2b2b2b")
    return reduced(image)


def draw_ship() -> np.ndarray:
    """Return a ship at sea, uint8 (32, 32, 3)."""
    image, draw = canvas("#f2e3c6")
    scaled(draw.rectangle, (0, 20, 32, 32), fill="#2f6f7e")
    scaled(draw.polygon, (4, 19, 28, 19, 24, 25, 8, 25), fill="#5c4033")
    scaled(draw.polygon, (15, 3, 15, 18, 5, 18), fill="#e0a030")
    scaled(draw.polygon, (17, 6, 26, 18, 17, 18), fill="#ffffff")
    return reduced(image)


def canvas(color: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return an empty image of FINER pixels, and what draws into it."""
    image = Image.new("RGB", (32 * FINER, 32 * FINER), color)
    return image, ImageDraw.Draw(image)


def scaled(draw, place: tuple[int, ...], fill: str) -> None:
    """Draw a figure that is given in pixels of the small image."""
    draw([FINER * value for value in place], fill=fill)


def reduced(image: Image.Image) -> np.ndarray:
    """Return an image at 32 x 32 pixels, uint8."""
    return np.asarray(image.resize((32, 32), Image.Resampling.BOX))


def changed_images() -> dict[str, np.ndarray]:
    """Return one image for each change by its name."""
    image, other = draw_truck(), draw_ship()
    fill = np.stack([image, other]).mean(axis=(0, 1, 2)).round().astype(np.uint8)
    names = list(policies.NUMBERS)
    draws = policies._narrow_draws(
        np.random.default_rng(0), np.array(names)[:, None], np.full((len(names), 1), STRENGTH)
    )
    images = np.stack([image] * len(names))
    operations = policies.apply_operations(images, **vars(draws), fill=fill)
    pair, one = np.stack([image, other]), image[None]
    unmoved, moved = np.zeros((1, 2), np.int32), np.array([[5, -7]])
    yes, no = np.array([True]), np.array([False])
    halves = np.full(2, 0.6, np.float32)
    starts, ends = np.array([[12, 10]] * 2), np.array([[28, 30]] * 2)
    return {
        **dict(zip(names, np.asarray(operations), strict=True)),
        "another image": other,
        "flip": geometry.move_and_mirror(one, unmoved, yes)[0],
        "translate, reflect": geometry.move_and_mirror(one, moved, no)[0],
        "translate, mean": geometry.move_and_mirror(one, moved, no, fill)[0],
        "cutout": geometry.cut_out(one, np.array([[4, 9]]), 16, fill)[0],
        "cutout_overhang": geometry.cut_out(one, np.array([[-5, 20]]), 16, fill)[0],
        "mixup": mixing.mix_up(pair, halves)[0],
        "cutmix": mixing.cut_mix(pair, starts, ends)[0],
    }


def draw_sheet(images: dict[str, np.ndarray]) -> Image.Image:
    """Return all images with their names below."""
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (CELL + CAPTION)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (name, image) in enumerate(images.items()):
        left, top = number % COLUMNS * CELL + MARGIN, number // COLUMNS * (CELL + CAPTION) + MARGIN
        tile = Image.fromarray(np.asarray(image))
        sheet.paste(tile.resize((32 * ZOOM, 32 * ZOOM), Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + 32 * ZOOM + 2), name, fill=INK)
    return sheet


if __name__ == "__main__":
    sheet = draw_sheet(changed_images())
    sheet.quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
