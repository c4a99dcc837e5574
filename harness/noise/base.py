"""What every noise model is: which image each training caption is paired with. Plus the file others can train
on."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


class NoiseModel:
    """Pairs training captions with images, some of them wrong. A rate is the share of captions chosen for
    that."""

    def corrupt(self, image_of_caption: Index, rng: np.random.Generator) -> Index:
        """paired_image (captions,) int64, a new array; all randomness comes from `rng`.

        image_of_caption: (captions,) int64, the truth, images counted from 0 without gaps.
        """
        raise NotImplementedError


def realised_rate(paired_image: Index, image_of_caption: Index) -> float:
    """Share of the captions that are paired with another image than their own."""
    return float((paired_image != image_of_caption).mean())


def save_index(paired_image: Index, path: Path) -> None:
    """Write the pairs as a caption-level index file: what NCR, BiCro, MSCN and CRCL read, and `index_file`
    here."""
    with open(path, "wb") as file:  # np.save would add .npy to another suffix
        np.save(file, paired_image.astype(np.int64, copy=False))


def shuffled(items: Index, rate: float, rng: np.random.Generator) -> Index:
    """`items` with a random share `rate` of them (rounded to a whole number) permuted among themselves."""
    chosen = rng.choice(len(items), size=round(rate * len(items)), replace=False)
    result = items.copy()
    result[chosen] = items[rng.permutation(chosen)]
    return result
