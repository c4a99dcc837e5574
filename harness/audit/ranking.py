"""The order in which a run distrusts its training pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ranking:
    """All training pairs, the most suspicious first.

    Attributes:
        order: int64 (pairs,), pair ids by rank.
        ties: int64 (pairs,), by rank: the same number where the rule cannot tell two pairs apart.
        rule: how they were ranked, in words.
    """

    order: NDArray[np.int64]
    ties: NDArray[np.int64]
    rule: str


def rank(label: NDArray[np.floating] | None, match: NDArray[np.floating], similarity: NDArray[np.floating]) -> Ranking:
    """Pairs by ascending correspondence label, those with one label by ascending match, then similarity.

    A threshold puts many labels at exactly 0, so the second key decides among the pairs that matter most. Without
    labels (triplet, InfoNCE) match comes first. What still ties keeps the order of the data set, and figures count it
    as a tie. Every argument is (pairs,).
    """
    if label is None:
        keys, rule = [match, similarity], "match ascending, ties by similarity (the method keeps no labels)"
    else:
        keys, rule = [label, match, similarity], "label ascending, ties by match, then by similarity"
    order = np.lexsort(keys[::-1])  # its last key counts first
    new = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    return Ranking(order, np.concatenate([[0], np.cumsum(new)]), rule)


def wrong_calls(ranking: Ranking, clean: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """The first `most` of the true pairs that the ranking takes for wrong: of as many of the lowest as pairs are wrong.

    clean: (pairs,) the truth, by pair id. Returns pair ids by rank.
    """
    called = ranking.order[: int((~clean).sum())]
    return called[clean[called]][:most]
