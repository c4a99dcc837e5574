"""Which test queries one run ranks better than another, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.evaluation.bootstrap import Ranks


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


def count_wins(a: Ranks, b: Ranks, way: str) -> list[int]:
    """Over the queries of one way: how many there are, A ranks better, B ranks better, both rank alike; and how many A
    answers first and B does not, and the other way round."""
    of_a, of_b = getattr(a, way), getattr(b, way)
    won, lost = (of_a == 1) & (of_b > 1), (of_b == 1) & (of_a > 1)
    counts = (of_a > 0, of_a < of_b, of_a > of_b, of_a == of_b, won, lost)
    return [int(which.sum()) for which in counts]


def find_extremes(a: Ranks, b: Ranks, way: str, most: int) -> tuple[list[Query], list[Query]]:
    """The queries that A ranks best compared with B, and those that B ranks best compared with A, most so first.

    Compared by the ratio of ranks: from 20th to 1st is more than from 400th to 300th. Fewer where fewer differ; equal
    gains in the order of the split.
    """
    of_a, of_b = getattr(a, way).astype(np.int64), getattr(b, way).astype(np.int64)
    gain = np.log(of_b / of_a)

    def list_most(gains: np.ndarray) -> list[Query]:
        rows = [int(row) for row in np.argsort(-gains, kind="stable")[:most] if gains[row] > 0]
        return [Query(way, row, int(of_a[row]), int(of_b[row])) for row in rows]

    return list_most(gain), list_most(-gain)
