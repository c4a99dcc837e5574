"""The toy data set of synthetic.py with sides of vectors: images with any number of regions, captions that are heard.

A word is two vectors of its own with noise, so who learns hears which words a caption has.
"""

from pathlib import Path

import numpy as np
from synthetic import write_dataset

from harness.data import DatasetCard, tokenize, write_runs

HEARD = 12  # numbers of a caption's vector
IMAGES = {"train": 80, "dev": 20, "test": 20}


def write_sides(folder: Path, *, images: bool = True, captions: bool = True, texts: bool = True, **keywords) -> Path:
    """As `write_dataset`. images, captions: which sides have any number of vectors. texts: keep the words, too."""
    write_dataset(folder, **{"images": IMAGES, **keywords})
    rng = np.random.default_rng(7)
    sounds: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("*_ims.npy")):
        split = path.name.removesuffix("_ims.npy")
        if images:
            regions = np.load(path)
            kept = [rows[: rng.integers(4, len(rows) + 1)] for rows in regions]
            write_runs(path, kept, "float32")
        text = folder / f"{split}_caps.txt"
        if captions:
            heard = [
                np.concatenate([said(word, sounds, rng) for word in tokenize(line)])
                for line in text.read_text().splitlines()
            ]
            write_runs(folder / f"{split}_caps.npy", heard, "float32")
            if not texts:
                text.unlink()
    card = DatasetCard.read(folder)
    assert card is not None
    card.model_copy(update={"regions": None}).write(folder)
    return folder


def said(word: str, sounds: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(2, HEARD)"""
    if word not in sounds:
        sounds[word] = rng.standard_normal((2, HEARD))
    return sounds[word] + 0.2 * rng.standard_normal((2, HEARD))
