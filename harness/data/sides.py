"""The two kinds of side that a data set may have: word numbers, or vectors; of any number for each item."""

from collections.abc import Callable
from functools import cache

import numpy as np

from harness.data import layout


class Captions:
    """Word numbers with a start and an end: caption i is `ids[offsets[i]:offsets[i + 1]]`.

    ids: int32 (words of all captions,). offsets: int64 (captions + 1,).
    """

    def __init__(self, ids: np.ndarray, offsets: np.ndarray) -> None:
        self._count = len(offsets) - 1
        self._arrays: Callable[[], tuple[np.ndarray, np.ndarray]] = lambda: (ids, offsets)

    @classmethod
    def later(cls, count: int, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> "Captions":
        """`count` captions whose (ids, offsets) are made when they are first asked for: who looks at the pairs alone
        does not wait for a tokenizer."""
        captions = cls.__new__(cls)
        captions._count, captions._arrays = count, cache(make)
        return captions

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> np.ndarray:
        return self._arrays()[0]

    @property
    def offsets(self) -> np.ndarray:
        return self._arrays()[1]

    @property
    def lengths(self) -> np.ndarray:
        """Words per caption, int64 (captions,)."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """The captions `rows[part]` (n,), zero-padded: tokens int64 (n, longest of `rows`), lengths int64 (n,)."""
        first = self.offsets[rows]
        lengths = self.offsets[rows + 1] - first
        column = np.arange(int(lengths.max(initial=0)))
        inside = column < lengths[:, None]  # (B, longest)
        tokens = np.zeros(inside.shape, dtype=np.int64)
        tokens[inside] = self.ids[(first[:, None] + column)[inside]]
        return tokens[part], lengths[part]

    def replaced(self, rows: np.ndarray, by: "Captions") -> "Captions":
        """These captions with the distinct `rows` (n,) exchanged for the n captions of `by`, in that order."""

        def make() -> tuple[np.ndarray, np.ndarray]:
            source = np.arange(len(self))
            source[rows] = len(self) + np.arange(len(by))
            offsets = np.concatenate((self.offsets, len(self.ids) + by.offsets[1:]))
            return _rows_of(np.concatenate((self.ids, by.ids)), offsets, source)

        return Captions.later(len(self), make)

    def chosen(self, rows: np.ndarray) -> "Captions":
        """The captions `rows` (n,), in that order."""
        return Captions.later(len(rows), lambda: _rows_of(self.ids, self.offsets, rows))


def _rows_of(ids: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ids, offsets) of the captions `rows` (n,)."""
    first, lengths = offsets[rows], np.diff(offsets)[rows]
    ends = np.concatenate(([0], np.cumsum(lengths)))
    return ids[np.arange(ends[-1]) + np.repeat(first - ends[:-1], lengths)], ends


class Vectors:
    """Regions, frames of video or of sound: item i is the rows `starts[i]` to `starts[i] + lengths[i]` of `values`.

    values: memory map (vectors of all items, D), float32, float16 or float64. starts, lengths: int64 (items,).
    """

    def __init__(self, values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> None:
        self.values, self.starts, self.lengths = values, starts, lengths

    @classmethod
    def of(cls, values: np.ndarray, offsets: np.ndarray | None) -> "Vectors":
        """values (vectors, D) with offsets int64 (items + 1,), or (items, R, D) without."""
        if offsets is None:
            items, each, dim = values.shape
            return cls(values.reshape(-1, dim), each * np.arange(items), np.full(items, each))
        return cls(values, offsets[:-1], np.diff(offsets))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.values.shape[1])

    def padded(self, rows: np.ndarray, part: slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """The items `rows[part]` (n,), zero-padded: float32 (n, longest of `rows`, D), lengths int64 (n,).

        Read from the file in its order, an item with one call; see `layout.gather`.
        """
        longest, mine = int(self.lengths[rows].max(initial=0)), rows[part]
        lengths = self.lengths[mine]
        batch = np.zeros((len(mine), longest, self.dim), dtype=np.float32)
        targets = [row[:length] for row, length in zip(batch, lengths, strict=True)]
        layout.read_runs(self.values, self.starts[mine], targets)
        return batch, lengths

    def chosen(self, rows: np.ndarray | slice) -> "Vectors":
        """The items `rows`, in that order."""
        return Vectors(self.values, self.starts[rows], self.lengths[rows])

    def means(self) -> np.ndarray:
        """The mean vector of each item, float32 (items, D)."""
        result = np.empty((len(self), self.dim), dtype=np.float32)
        for item, (start, length) in enumerate(zip(self.starts.tolist(), self.lengths.tolist(), strict=True)):
            result[item] = self.values[start : start + length].mean(axis=0, dtype=np.float32)
        layout.release(self.values)
        return result


def open_regions(files: layout.SplitFiles) -> np.ndarray | Vectors:
    """What a split has of its images: regions (images, R, D), or any number of vectors for each.

    Raises:
        HarnessError: the files are no such arrays, or do not fit each other.
    """
    if files.offsets.is_file():
        return Vectors.of(*layout.open_runs(files.features, files.offsets))
    return layout.open_features(files.features)


def open_spoken(files: layout.SplitFiles) -> Vectors | None:
    """The captions of a split that are vectors and not words; None: they are words."""
    if not files.spoken.is_file():
        return None
    if files.spoken_offsets.is_file():
        return Vectors.of(*layout.open_runs(files.spoken, files.spoken_offsets))
    return Vectors.of(layout.open_features(files.spoken), None)
