"""Which test queries one run ranks better than another, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.evaluation.bootstrap import Ranks


@dataclass(frozen=True)
class Tally:
    """Over the queries of one way: how many A ranks better, B ranks better, or both the same.

    won: those where A's first answer is right and B's is not; lost: the other way round.
    """

    way: str
    a_better: int
    b_better: int
    equal: int
    won: int
    lost: int

    @property
    def queries(self) -> int:
        return self.a_better + self.b_better + self.equal


@dataclass(frozen=True)
class Query:
    """One query: its place in the test split among the images (i2t) or captions (t2i), and its two ranks."""

    way: str
    index: int
    rank_a: int
    rank_b: int


@dataclass(frozen=True)
class Names:
    """What the queries of the test split are called. image_ids: (images,). texts, image_of_caption: (captions,)."""

    image_ids: Sequence[str]
    texts: Sequence[str]
    image_of_caption: np.ndarray

    def fit(self, ranks: Ranks) -> bool:
        """Whether the ranks can be those of this split: of its first images and all their captions."""
        owner = ranks.image_of_caption
        return len(ranks.i2t) <= len(self.image_ids) and np.array_equal(owner, self.image_of_caption[: len(owner)])

    def of(self, query: Query) -> tuple[str, str]:
        """Image id, and the caption (of an image: its first)."""
        if query.way == "t2i":
            return self.image_ids[self.image_of_caption[query.index]], self.texts[query.index]
        first = int(np.argmax(self.image_of_caption == query.index))
        return self.image_ids[query.index], self.texts[first]


def tally(a: Ranks, b: Ranks, way: str) -> Tally:
    """The counts of one way; both runs ranked the same queries."""
    of_a, of_b = getattr(a, way), getattr(b, way)
    better, worse = int((of_a < of_b).sum()), int((of_a > of_b).sum())
    won, lost = int(((of_a == 1) & (of_b > 1)).sum()), int(((of_b == 1) & (of_a > 1)).sum())
    return Tally(way, better, worse, len(of_a) - better - worse, won, lost)


def extremes(a: Ranks, b: Ranks, way: str, most: int) -> tuple[list[Query], list[Query]]:
    """The queries that A ranks best compared with B, and those that B ranks best compared with A, most so first.

    Compared by the ratio of ranks: from 20th to 1st is more than from 400th to 300th. Fewer where fewer differ.
    """
    of_a, of_b = getattr(a, way).astype(np.int64), getattr(b, way).astype(np.int64)
    gain = np.log(of_b / of_a)
    order = np.argsort(-gain, kind="stable")  # equal gains in the order of the split

    def queries(rows: np.ndarray) -> list[Query]:
        return [Query(way, int(row), int(of_a[row]), int(of_b[row])) for row in rows]

    best = order[: min(most, int((gain > 0).sum()))]
    worst = np.argsort(gain, kind="stable")[: min(most, int((gain < 0).sum()))]
    return queries(best), queries(worst)
