"""Small pictures with captions for the tests of `data build`."""

import csv
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

ROWS = list[tuple[str, str, str]]


def write_pictures(folder: Path, names: list[str], size: int = 32) -> Path:
    """PNG pictures of noise around a colour, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        pixels = rng.integers(0, 60, (size, size, 3)) + rng.integers(0, 190, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return folder


def write_captions(file: Path, rows: ROWS, header: tuple[str, ...] = ("image", "split", "caption")) -> Path:
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def rows_for(counts: dict[str, int], captions: int = 2) -> ROWS:
    """Rows for so many images a split, named 0.png, 1.png, ..."""
    rows, number = [], 0
    for split, count in counts.items():
        for _ in range(count):
            rows += [(f"{number}.png", split, f"caption {k} of picture {number}") for k in range(captions)]
            number += 1
    return rows


def source(folder: Path, counts: dict[str, int], captions: int = 2) -> tuple[Path, Path]:
    """A folder of pictures and a table of captions."""
    rows = rows_for(counts, captions)
    pictures = write_pictures(folder / "pictures", list(dict.fromkeys(image for image, _, _ in rows)))
    return pictures, write_captions(folder / "captions.csv", rows)


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, prefix + path.name)
    return archive
