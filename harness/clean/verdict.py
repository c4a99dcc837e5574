"""What the trainings say of every pair: score, probability of being wrong, and how well planted swaps were found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.clean.copies import Copy
from harness.clean.estimates import (
    Cut,
    Share,
    doubt,
    measure_cut,
    p_values,
    probabilities,
    read_off,
    share_with_interval,
)  # fmt: skip
from harness.ledger import Cell
from harness.seeds import rng_for

Floats = NDArray[np.float64]
_EPSILON = 1e-6


@dataclass(frozen=True)
class Verdict:
    """Of every pair that the networks were trained on, in the order of the whole set.

    Attributes:
        score: mean log-odds of match, over the trainings that saw the pair as it is; low is suspicious.
        probability: of being wrong.
        share: of wrong pairs.
        planted: probabilities that the swaps planted in the copies were given, all copies together (m,).
        auc: chance that a planted swap scores below a pair that was not swapped, ties one half; 0.5 tells nothing.
    """

    score: Floats
    probability: Floats
    share: Share
    planted: Floats
    auc: float

    @property
    def doubt(self) -> str:
        """Why nothing may be dropped by this verdict, in words; "" where it may."""
        return doubt(self.share, self.auc)

    def cut(self, at: float) -> Cut:
        """What a cut at a probability does; with a doubt nothing is above it."""
        return measure_cut(self.probability, self.planted, 1.0 if self.doubt else at)


def judge(copies: Sequence[tuple[Copy, Cell]], seed: int) -> Verdict:
    """The verdict of finished trainings: each copy by itself, against its own planted swaps, and the mean over the
    copies in which a pair was not swapped."""
    from sklearn.metrics import roc_auc_score

    pairs = len(copies[0][0].image)
    known = np.unique(np.concatenate([copy.rows for copy, _ in copies]))
    numbers = sorted({copy.number for copy, _ in copies})
    scores, chances = (np.full((len(numbers), pairs), np.nan) for _ in range(2))
    shares: list[Share] = []
    planted, aucs = [], []
    for place, number in enumerate(numbers):
        own = [(copy, cell) for copy, cell in copies if copy.number == number]
        score = _mean_score(own)
        swapped = own[0][0].planted & ~np.isnan(score)
        rest = ~own[0][0].planted & ~np.isnan(score)
        rng = rng_for("clean", "bootstrap", seed, number)
        share = share_with_interval(score[rest], score[swapped], rng)
        p = p_values(score, score[swapped])
        chances[place, rest], edges, curve = probabilities(p[rest], share.value)
        planted.append(read_off(p[swapped], edges, curve))
        scores[place, rest] = score[rest]
        shares.append(share)
        aucs.append(roc_auc_score(swapped[swapped | rest], -score[swapped | rest]))
    together = Share(*(float(np.mean([getattr(share, end) for share in shares])) for end in ("value", "low", "high")))
    return Verdict(
        _mean(scores[:, known]), _mean(chances[:, known]), together, np.concatenate(planted), float(np.mean(aucs))
    )


def ranks(verdict: Verdict) -> NDArray[np.int64]:
    """(pairs,): 1 for the pair that is most probably wrong; by probability, then by score."""
    order = np.lexsort((verdict.score, -verdict.probability))
    result = np.empty(len(order), dtype=np.int64)
    result[order] = np.arange(1, len(order) + 1)
    return result


def _mean_score(copies: Sequence[tuple[Copy, Cell]]) -> Floats:
    """(pairs,) mean over the trainings of a copy; NaN for a pair that none of them saw."""
    total = np.zeros(len(copies[0][0].image))
    times = np.zeros_like(total)
    for copy, cell in copies:
        path = cell.file("pairs.npz")
        assert path is not None
        with np.load(path, allow_pickle=False) as kept:
            match = np.clip(kept["match"].astype(np.float64), _EPSILON, 1 - _EPSILON)
        total[copy.rows] += np.log(match) - np.log1p(-match)
        times[copy.rows] += 1
    with np.errstate(invalid="ignore"):
        return np.where(times > 0, total / times, np.nan)


def _mean(values: Floats) -> Floats:
    """Over the copies (copies, pairs) that have a value; a pair that is swapped in all of them gets the mean of all
    pairs, for nothing is known of it."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    means = total / np.maximum(known.sum(axis=0), 1)
    return np.where(known.any(axis=0), means, means[known.any(axis=0)].mean())
