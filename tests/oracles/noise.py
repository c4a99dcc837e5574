"""Noise one caption, one image at a time, from the same draws."""

import math

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


def shifted(owner: list[int], rate: float, reach: int, rng: np.random.Generator) -> list[int]:
    images = max(owner) + 1
    chosen = rng.choice(len(owner), size=round(rate * len(owner)), replace=False)
    far = [int(step) for step in rng.integers(1, reach + 1, len(chosen))]
    ways = [int(way) for way in rng.choice([-1, 1], len(chosen))]
    paired = list(owner)
    for caption, step, way in zip(chosen, far, ways, strict=True):
        image = owner[caption]
        for _ in range(step):  # from clip to clip, round the end
            image = image + way
            image = 0 if image == images else images - 1 if image < 0 else image
        paired[caption] = image
    return paired


def similarity_dependent(
    owner: list[int], rate: float, temperature: float, vectors: list[list[float]], rng: np.random.Generator
) -> list[int]:
    paired = list(owner)
    chosen = rng.choice(len(owner), size=round(rate * len(owner)), replace=False).tolist()
    waiting = {image: [caption for caption in chosen if owner[caption] == image] for image in set(owner)}
    for caption in chosen:
        own = owner[caption]
        if caption not in waiting[own]:
            continue
        waiting[own].remove(caption)
        others = [image for image in sorted(waiting) if waiting[image] and image != own]
        if not others:
            continue
        cosines = [sum(a * b for a, b in zip(vectors[own], vectors[image], strict=True)) for image in others]
        if temperature == 0:
            image = others[cosines.index(max(cosines))]
        else:
            weights = [len(waiting[i]) * math.exp(c / temperature) for i, c in zip(others, cosines, strict=True)]
            mark, image = rng.random() * sum(weights), others[-1]
            for other, weight in zip(others, weights, strict=True):
                mark -= weight
                if mark < 0:
                    image = other
                    break
        partner = waiting[image].pop(rng.integers(len(waiting[image])))
        paired[caption], paired[partner] = image, own
    return paired
