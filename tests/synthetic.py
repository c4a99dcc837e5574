"""Small learnable data sets in the field's layout, for tests and smoke runs.

An image is a handful of attributes, each with one of ten values. Its regions are the values' vectors plus
noise, each attribute in its share of the regions; its captions name the values with random words between
them. Its picture shows each attribute as a quarter in the value's colour. So a model that learns finds the right
caption.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.data.cards import DatasetCard

ATTRIBUTES, VALUES = 4, 10
FILLERS = ("a", "the", "with", "near", "and", "on", "very", "some")
NOISE = 0.3


def word(attribute: int, value: int) -> str:
    """The word for a value: `bado`, `kefu`, ... distinct for every attribute and value."""
    return "bklm"[attribute] + "aeiou"[value % 5] + "dfgt"[attribute] + ("o" if value < 5 else "un")


def write_dataset(
    folder: Path,
    images: Mapping[str, int] | None = None,
    captions_per_image: int = 5,
    regions: int = 8,
    dim: int = 16,
    dtype: type = np.float32,
    duplicated: bool = False,
    seed: int = 0,
) -> Path:
    """Writes the data set and its card.json into `folder` (made if absent) and returns `folder`.

    `images`: split -> distinct images, none of them alike while there are at most 10,000 in all.
    `duplicated`: dev and test hold one feature row per caption, as SCAN's files do. The same arguments give
    the same bytes.
    """
    images = dict(images or {"train": 200, "dev": 50, "test": 50})
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((ATTRIBUTES, VALUES, dim)).astype(np.float32)
    total = sum(images.values())
    codes = rng.choice(VALUES**ATTRIBUTES, total, replace=total > VALUES**ATTRIBUTES)
    values = codes[:, None] // VALUES ** np.arange(ATTRIBUTES) % VALUES  # (images, attributes)
    attribute = np.arange(regions) % ATTRIBUTES
    start = 0
    for split, count in images.items():
        chosen = values[start : start + count]
        start += count
        features = vectors[attribute, chosen[:, attribute]]  # (images, regions, dim)
        features = (features + NOISE * rng.standard_normal(features.shape)).astype(dtype)
        if duplicated and split != "train":
            features = features.repeat(captions_per_image, axis=0)
        np.save(folder / f"{split}_ims.npy", features)
        np.save(folder / f"{split}_pixels.npy", pictures(chosen))
        captions = [_caption(image, rng) for image in chosen for _ in range(captions_per_image)]
        (folder / f"{split}_caps.txt").write_text("".join(f"{text}\n" for text in captions), encoding="utf-8")
        ids = "".join(f"{split}-{image:05d}.png\n" for image in range(count))
        (folder / f"{split}_ids.txt").write_text(ids, encoding="utf-8")
    DatasetCard(
        name=folder.name,
        folder=folder.name,
        title="synthetic, learnable",
        images=images,
        captions_per_image=captions_per_image,
        regions=regions,
        region_dim=dim,
        source="tests/synthetic.py",
    ).write(folder)
    return folder


def pictures(values: np.ndarray, side: int = 16) -> np.ndarray:
    """values (images, 4) -> uint8 (images, side, side, 3)."""
    colours = np.random.default_rng(0).integers(0, 256, (ATTRIBUTES, VALUES, 3), dtype=np.uint8)
    quarters = colours[np.arange(ATTRIBUTES), values].reshape(-1, 2, 2, 3)
    return quarters.repeat(side // 2, axis=1).repeat(side // 2, axis=2)


def _caption(values: np.ndarray, rng: np.random.Generator) -> str:
    words: list[str] = []
    for attribute in rng.permutation(ATTRIBUTES):
        words += [FILLERS[rng.integers(len(FILLERS))], word(int(attribute), int(values[attribute]))]
    return " ".join(words).capitalize() + "."
