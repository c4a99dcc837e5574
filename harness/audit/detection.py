"""How well a ranking finds the wrong pairs, where they are known."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CUTOFFS = (100, 500, 1000, 5000)


@dataclass(frozen=True)
class Cutoff:
    """The first `k` pairs of a ranking: share of them that is wrong, share of all wrong pairs that is among them."""

    k: int
    precision: float
    recall: float


@dataclass(frozen=True)
class Detection:
    """Quality of a ranking as a detector of wrong pairs; shares in 0..1.

    Attributes:
        noisy: wrong pairs in all.
        chance: share of wrong pairs, the precision of a random order.
        cutoffs: at the fixed k that the data set has pairs for.
        r_precision: precision (and recall) at k = `noisy`.
        average_precision: area under precision over recall.
        auc: chance that a random wrong pair stands before a random true one, ties one half.
    """

    noisy: int
    chance: float
    cutoffs: list[Cutoff]
    r_precision: float
    average_precision: float
    auc: float

    def table(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def detect(noisy: NDArray[np.bool_], ties: NDArray[np.int64], cutoffs: Sequence[int] = CUTOFFS) -> Detection:
    """Figures of a ranking, both arguments (pairs,) in its order; at least one pair is wrong and one true.

    Where a cut falls among pairs that tie, precision and recall are the means over all their orders, so that a ranking
    that tells nothing scores chance.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    last = np.flatnonzero(np.diff(ties, append=ties[-1] + 1))  # of each group of ties
    ends = np.concatenate([[0], last + 1])
    found = np.concatenate([[0], np.cumsum(noisy)[last]])
    total = int(noisy.sum())

    def cut(k: int) -> Cutoff:
        expected = float(np.interp(k, ends, found))
        return Cutoff(k, expected / k, expected / total)

    return Detection(
        noisy=total,
        chance=total / len(noisy),
        cutoffs=[cut(k) for k in cutoffs if k <= len(noisy)],
        r_precision=cut(total).precision,
        average_precision=float(average_precision_score(noisy, -ties)),
        auc=float(roc_auc_score(noisy, -ties)),
    )
