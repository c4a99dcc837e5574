"""Is one setting better than another on the same test queries? A paired bootstrap over images and seeds.

An image and its captions are resampled together, because their queries depend on each other: resampling single
queries would give intervals that are too narrow. Both settings are looked up on the same resampled images, so what
makes an image hard for both cancels.

It asks about other test images and, where a setting has several seeds, about other trainings of it: the seeds are
resampled too, and those of both settings together where both have as many, as a seed decides the wrong pairs of both.
With one seed it asks about the one network that was trained. Few seeds understate how much a setting varies: the
resampled spread of n of them is sqrt((n - 1) / n) of the true one, 0.82 for three. In a simulation of two equal
settings whose seeds vary more than their images do, 20 % of the differences were called real over three seeds and 11 %
over five, where 5 % was asked for; over images alone more than 60 % were.

Sources: B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 15 (percentile interval,
achieved significance level); A. Davison and D. Hinkley, Bootstrap Methods and their Application (1997), section 4.2
(the +1 of p); S. Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import MEASURES
from harness.seeds import Name, rng_for

METRICS = {name: measure.hits for name, measure in MEASURES.items() if measure.hits}
_BLOCK = 1 << 22  # drawn counts held at a time: 32 MB


@dataclass(frozen=True)
class Ranks:
    """One-based ranks of one run's test queries, as `folds.measure` gives them.

    i2t: (images,). t2i: (captions,). image_of_caption: (captions,), the row of each caption's image in `i2t`.
    """

    i2t: NDArray[np.integer]
    t2i: NDArray[np.integer]
    image_of_caption: NDArray[np.integer]

    def __post_init__(self) -> None:
        owner = self.image_of_caption
        fit = self.i2t.ndim == self.t2i.ndim == 1 and owner.shape == self.t2i.shape and len(self.i2t) and len(owner)
        if not fit or owner.min() < 0 or owner.max() >= len(self.i2t):
            raise HarnessError(
                f"ranks of images {self.i2t.shape} and captions {self.t2i.shape} with image_of_caption {owner.shape}: "
                "they do not fit; accepted: (images,), (captions,) and (captions,) rows of images; score the run again"
            )


@dataclass(frozen=True)
class Difference:
    """A minus B in points (percent; rSum: sum of percents), its 95 % interval and two-sided p."""

    metric: str
    points: float
    low: float
    high: float
    p: float


def read_ranks(path: Path) -> dict[str, Ranks]:
    """Protocol -> ranks from a cell's ranks.npz; empty where there is no such file."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            names = sorted({key.rpartition("/")[0] for key in file.files})
            return {name: Ranks(*(file[f"{name}/{key}"] for key in Ranks.__annotations__)) for name in names}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, HarnessError) as error:
        raise HarnessError(f"{path}: not a whole file of ranks ({error}); delete it, or bring it back") from None


def compare(
    a: Sequence[Ranks],
    b: Sequence[Ranks],
    metric: str,
    *,
    paired: bool = True,
    resamples: int = 10_000,
    seed: Sequence[Name] = (),
) -> Difference:
    """How much better A is than B on one metric, and how sure that is given these test images and seeds.

    The interval is the percentile one. p is twice the smaller share of resamples on one side of zero, so p < 0.05 and
    an interval without zero say the same but for rounding; with the +1 rule it is never 0. Exchanging A and B changes
    the signs and nothing else. Under a protocol of folds the mean over folds is the mean over all queries as long as
    the folds have equally many images and captions, which the field's have; so folds need no treatment here.

    Args:
        a, b: the seeds of each setting, one or more, all ranked on the same queries.
        paired: where a and b are as long, they are the same seeds in the same order, and drawn together.
        metric: i2t_r1, ..., t2i_r10 or rsum. Medians and means of ranks are not supported.
        resamples: how many.
        seed: names of the randomness; the same names give the same numbers.

    Raises:
        HarnessError: unknown metric, no run on a side, or runs on different queries.
    """
    if metric not in METRICS:
        raise HarnessError(
            f"metric {metric!r} has no paired bootstrap, median and mean ranks have none; {suggest(metric, METRICS)}"
        )
    if resamples < 1:
        raise HarnessError(f"resamples = {resamples}: accepted: 1 or more, best 10000")
    _check([*a, *b], len(a), len(b))
    hits_a, hits_b = (np.stack([_hits(run, metric) for run in side]) for side in (a, b))  # (seeds, images, 2)
    captions = np.bincount(a[0].image_of_caption, minlength=hits_a.shape[1])
    points_of_hits = 100 / (len(a) * len(b))

    def rows(of_a: NDArray[np.int64], of_b: NDArray[np.int64]) -> NDArray[np.float64]:
        """(images, 3): what A gains, times the seeds of both, and the captions; seeds counted as given. Whole numbers
        until the division, so that equal is exactly equal."""
        gain = np.tensordot(of_a, hits_a, 1) * len(b) - np.tensordot(of_b, hits_b, 1) * len(a)
        return np.column_stack([gain, captions]).astype(np.float64)

    def points(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return points_of_hits * (totals[..., 0] / len(captions) + totals[..., 1] / totals[..., 2])

    whole = rows(np.ones(len(a), np.int64), np.ones(len(b), np.int64))
    gains = whole[:, :2]
    first = gains[gains != 0][:1]  # whoever is better there is the minuend, so that the order of A and B draws the same
    sign = -1.0 if first.sum() < 0 else 1.0
    drawn = np.concatenate(
        [
            points(totals)
            for of_a, of_b, count, names in _drawn_seeds(len(a), len(b), paired, resamples, seed)
            for totals in _resampled(rows(of_a, of_b) * (sign, sign, 1), count, names)
        ]
    )
    low, high = sorted(sign * np.quantile(drawn, (0.025, 0.975)) + 0.0)  # + 0.0: no minus before a zero
    tail = 1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    seen = float(points(whole.sum(axis=0)))
    return Difference(metric, seen, float(low), float(high), min(1.0, 2 * tail / (resamples + 1)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p values adjusted for being several, by Holm's step-down rule, in the order given; NaN is not counted."""
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = given.copy()
    order = np.argsort(given, kind="stable")[: int((~np.isnan(given)).sum())]  # NaN sorts last
    steps = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _hits(run: Ranks, metric: str) -> NDArray[np.int64]:
    """(images, 2): hits of the image's own query and of those of its captions, summed over cut-offs."""
    ways, images = METRICS[metric], len(run.i2t)
    found = np.zeros((images, 2), dtype=np.int64)
    for k in ways.get("i2t", ()):
        found[:, 0] += run.i2t <= k
    for k in ways.get("t2i", ()):
        found[:, 1] += np.bincount(run.image_of_caption[run.t2i <= k], minlength=images)
    return found


def _drawn_seeds(
    of_a: int, of_b: int, paired: bool, resamples: int, seed: Sequence[Name]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int, tuple[Name, ...]]]:
    """How often each seed of A and of B comes up in how many resamples, and the names of their images' draws: alike
    draws of seeds together."""
    together = paired or of_a != of_b  # sides of other lengths draw by names of their own anyway
    sides = [
        rng_for("bootstrap seeds", seeds, *(() if together else (side,)), *seed).multinomial(
            seeds, np.full(seeds, 1 / seeds), size=resamples
        )
        for side, seeds in enumerate((of_a, of_b))
    ]
    distinct, counts = np.unique(np.concatenate(sides, axis=1), axis=0, return_counts=True)
    for number, (drawn, count) in enumerate(zip(distinct, counts, strict=True)):
        yield drawn[:of_a], drawn[of_a:], int(count), (*seed, number) if len(distinct) > 1 else tuple(seed)


def _resampled(rows: NDArray[np.float64], resamples: int, seed: Sequence[Name]) -> list[NDArray[np.float64]]:
    """Column sums over resampled rows, (resamples, columns) in blocks.

    Images with the same row are interchangeable and there are few distinct ones, so what is drawn is how often each
    distinct row comes up: the same distribution as drawing images, for tens of numbers a resample instead of thousands.
    """
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    rng = rng_for("bootstrap", *seed)
    step = max(1, _BLOCK // len(distinct))
    sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
    return [rng.multinomial(len(rows), counts / len(rows), size=size) @ distinct for size in sizes]


def _check(runs: Sequence[Ranks], of_a: int, of_b: int) -> None:
    if not of_a or not of_b:
        raise HarnessError(f"{of_a} runs against {of_b}: accepted: at least one run on each side; train both settings")
    for run in runs[1:]:
        if run.i2t.shape != runs[0].i2t.shape or not np.array_equal(run.image_of_caption, runs[0].image_of_caption):
            raise HarnessError(
                f"ranks of {len(runs[0].i2t)} images and {len(runs[0].t2i)} captions against {len(run.i2t)} and "
                f"{len(run.t2i)}: not the same queries; accepted: runs scored on one test split; compare those"
            )
