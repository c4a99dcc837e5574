"""The paired bootstrap by drawing image after image, or by going through every resample there is; Holm by loops."""

from collections.abc import Iterator, Sequence
from itertools import product
from random import Random
from statistics import mean
from typing import NamedTuple


class Run(NamedTuple):
    """One-based ranks: of each image's query, and of the queries of each image's captions."""

    i2t: list[int]
    t2i: list[list[int]]


def metric(run: Run, images: Sequence[int], name: str) -> float:
    """The metric of a run on these images, which may repeat, and their captions."""
    if name == "rsum":
        return sum(metric(run, images, f"{way}_r{k}") for way in ("i2t", "t2i") for k in (1, 5, 10))
    way, _, cutoff = name.partition("_r")
    found = []
    for image in images:
        found += [run.i2t[image]] if way == "i2t" else run.t2i[image]
    return 100 * len([rank for rank in found if rank <= int(cutoff)]) / len(found)


def difference(a: Sequence[Run], b: Sequence[Run], images: Sequence[int], name: str) -> float:
    return mean(metric(run, images, name) for run in a) - mean(metric(run, images, name) for run in b)


def drawn(a: Sequence[Run], b: Sequence[Run], name: str, resamples: int, rng: Random) -> list[float]:
    """The differences on random resamples of images and seeds; as many seeds on both sides are drawn together."""
    images, found = len(a[0].i2t), []
    for _ in range(resamples):
        of_a = rng.choices(range(len(a)), k=len(a))
        of_b = of_a if len(a) == len(b) else rng.choices(range(len(b)), k=len(b))
        chosen = rng.choices(range(images), k=images)
        found.append(difference([a[i] for i in of_a], [b[i] for i in of_b], chosen, name))
    return found


def every(a: Sequence[Run], b: Sequence[Run], name: str) -> Iterator[float]:
    """The differences on all resamples of images and seeds, equally likely."""
    images, paired = len(a[0].i2t), len(a) == len(b)
    for of_a in product(a, repeat=len(a)) if not paired else [None]:
        for of_b in product(range(len(b)), repeat=len(b)):
            side = of_a or tuple(a[i] for i in of_b)
            for chosen in product(range(images), repeat=images):
                yield difference(side, [b[i] for i in of_b], chosen, name)


def holm(p_values: Sequence[float]) -> list[float]:
    """Smallest first, times the number of those not yet passed; never smaller than the one before."""
    adjusted = [0.0] * len(p_values)
    before = 0.0
    left = list(range(len(p_values)))
    while left:
        smallest = min(left, key=lambda i: p_values[i])
        before = max(before, min(1.0, len(left) * p_values[smallest]))
        adjusted[smallest] = before
        left.remove(smallest)
    return adjusted
