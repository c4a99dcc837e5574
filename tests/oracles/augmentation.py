"""Slow twin of harness/data/augmentation.py: one word, one region at a time, from the same random draws."""

import numpy as np


def augment_tokens(
    captions: list[list[int]],
    width: int,
    mask: int,
    vocabulary_size: int,
    rate: float,
    rng: np.random.Generator,
) -> list[list[int]]:
    """Captions after augmentation. `width` is that of the padded batch, for which the draws are made."""
    chances = rng.random((len(captions), width))
    words = rng.integers(1, vocabulary_size, (len(captions), width))
    result = []
    for row, caption in enumerate(captions):
        kept = []
        for place, word in enumerate(caption):
            chance = chances[row, place]
            if chance >= rate:
                kept.append(word)
            elif chance / rate < 0.5:
                kept.append(mask)
            elif chance / rate < 0.6:
                kept.append(int(words[row, place]))
        if not kept:
            best = max(range(len(caption)), key=lambda place: chances[row, place])
            kept.append(caption[best])
        result.append(kept)
    return result


def drop_regions(images: np.ndarray, rate: float, rng: np.random.Generator) -> list[list[np.ndarray]]:
    """The regions of each image (B, R, D) that stay."""
    chances = rng.random(images.shape[:2])
    result = []
    for row, image in enumerate(images):
        kept = [region for place, region in enumerate(image) if chances[row, place] >= rate]
        if not kept:
            kept.append(image[max(range(len(image)), key=lambda place: chances[row, place])])
        result.append(kept)
    return result
