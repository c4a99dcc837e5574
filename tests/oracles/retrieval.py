"""Retrieval and label metrics by sorting every query's candidates, and by comparing every pair of pairs."""

from collections.abc import Sequence
from math import floor
from statistics import mean, median

Matrix = Sequence[Sequence[float]]


def rank(scores: Sequence[float], right: Sequence[bool]) -> int:
    """Place of the first right candidate, counted from 1; among equal scores the wrong ones come first."""
    order = sorted(range(len(scores)), key=lambda k: (-scores[k], right[k]))
    return 1 + next(place for place, k in enumerate(order) if right[k])


def ranks(scores: Matrix, owner: Sequence[int]) -> tuple[list[int], list[int]]:
    images, captions = range(len(scores)), range(len(owner))
    image_to_text = [rank(scores[i], [owner[c] == i for c in captions]) for i in images]
    text_to_image = [rank([scores[i][c] for i in images], [owner[c] == i for i in images]) for c in captions]
    return image_to_text, text_to_image


def retrieval(scores: Matrix, owner: Sequence[int]) -> dict[str, float]:
    values = {}
    for way, of in zip(("i2t", "t2i"), ranks(scores, owner), strict=True):
        for k in (1, 5, 10):
            values[f"{way}_r{k}"] = 100 * len([r for r in of if r <= k]) / len(of)
        values[f"{way}_medr"] = floor(median(r - 1 for r in of)) + 1
        values[f"{way}_meanr"] = mean(of)
    values["rsum"] = sum(value for name, value in values.items() if "_r" in name)
    return values


def auc(labels: Sequence[float], clean: Sequence[bool]) -> float:
    wins = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, true in zip(labels, clean, strict=True)
        if true
        for b, other in zip(labels, clean, strict=True)
        if not other
    ]
    return mean(wins)
