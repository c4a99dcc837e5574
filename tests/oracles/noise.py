"""Noise one caption, one image at a time, from the same draws."""

import numpy as np


def caption_level(owner: list[int], rate: float, rng: np.random.Generator) -> list[int]:
    chosen = rng.choice(len(owner), size=round(rate * len(owner)), replace=False)
    paired = list(owner)
    for caption, other in zip(chosen, rng.permutation(chosen), strict=True):
        paired[caption] = owner[other]  # this caption takes the other one's image
    return paired


def image_level(owner: list[int], rate: float, rng: np.random.Generator) -> list[int]:
    images = sorted(set(owner))
    chosen = rng.choice(len(images), size=round(rate * len(images)), replace=False)
    replaced = dict(zip(chosen.tolist(), rng.permutation(chosen).tolist(), strict=True))
    return [replaced.get(image, image) for image in owner]
