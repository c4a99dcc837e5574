"""Slow twins of the data room: a data set read whole, as it is described, without memory maps or caches."""

from collections import Counter
from pathlib import Path

import numpy as np


def read_split(folder: Path, split: str, captions_per_image: int) -> tuple[np.ndarray, list[str]]:
    """One feature row per image, and the captions."""
    captions = (folder / f"{split}_caps.txt").read_text(encoding="utf-8").split("\n")[:-1]
    features = np.load(folder / f"{split}_ims.npy")
    if len(features) == len(captions):
        features = np.stack([features[row] for row in range(0, len(features), captions_per_image)])
    return features, [caption.strip() for caption in captions]


def vocabulary(captions: list[list[str]], minimum: int) -> list[str]:
    """SCAN's vocabulary of tokenised captions, with <mask> behind it."""
    counts = Counter(token for tokens in captions for token in tokens)
    words = [word for word, count in counts.items() if count >= minimum]
    return ["<pad>", "<start>", "<end>", "<unk>", *words, "<mask>"]
