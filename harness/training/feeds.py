"""A round's plan as batches that depend on the position alone, never on what was drawn before.

A batch is a function of seed, piece, epoch, round, feed, turn and place: the first feed is walked through once, the
others begin anew, in another order, when they end. So a run killed in the middle of a round goes on with the batches it
would have had, and no iterator is saved. One thread reads ahead of the training step.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from harness.data import Dataset
from harness.data.batches import Batch, PairReader
from harness.distributed import share, world
from harness.errors import HarnessError
from harness.methods.base import Feed
from harness.seeds import rng_for
from harness.training.position import Position

_AHEAD = 2  # batches read before they are asked for

Batches = tuple[Batch | None, ...]


class Feeds:
    """Reads the feeds of a run.

    Args:
        reader: of the training pairs.
        dataset: for feeds of other splits, whose pairs are true ones.
        seed: the run's.
    """

    def __init__(self, reader: PairReader, dataset: Dataset, seed: int) -> None:
        if len(reader) < 2:
            raise HarnessError(f"{len(reader)} training pair; accepted: at least 2, because a loss compares pairs")
        self.reader, self.dataset, self.seed = reader, dataset, seed
        self._readers = {"train": reader}
        self.all_pairs = Feed(np.arange(len(reader)))

    def read(
        self,
        feed: Feed,
        rows: np.ndarray | slice = slice(None),
        rng: np.random.Generator | None = None,
    ) -> Batch:
        """This process's share of the batch of these rows of a feed; augmented with `rng`."""
        captions = feed.captions[rows]
        images = None if feed.images is None else feed.images[rows]
        return self._reader(feed.split).read(captions, rng, share(len(captions)), images)

    def captions(self, split: str) -> int:
        """How many captions a split has."""
        return len(self._reader(split))

    def round(self, plan: Sequence[Feed], batch_size: int) -> "Round":
        """The batches of a plan; an empty plan is all pairs.

        Raises:
            HarnessError: a feed names a row that its split has not.
        """
        for number, feed in enumerate(plan):
            self._check(number, feed)
        return Round(self, plan or [self.all_pairs], batch_size)

    def _check(self, number: int, feed: Feed) -> None:
        reader = self._reader(feed.split)
        chosen = {"captions": (feed.captions, len(reader))}
        if feed.images is not None:
            chosen["images"] = (feed.images, len(reader.split.regions))
        for what, (rows, count) in chosen.items():
            fits = rows.shape == feed.captions.shape and rows.ndim == 1 and rows.dtype.kind in "iu"
            if not fits or (len(rows) and not 0 <= rows.min() <= rows.max() < count):
                span = f", from {rows.min()} to {rows.max()}" if len(rows) else ""
                raise HarnessError(
                    f"method.plan: feed {number} has {what} of shape {rows.shape}, {rows.dtype}{span}; "
                    f"accepted: row numbers (n,) of the split {feed.split}, 0 to {count - 1}, one image for each "
                    "caption; see Feed in harness/methods/base.py"
                )

    def _reader(self, split: str) -> PairReader:
        if split not in self._readers:
            opened = self.dataset.split(split)
            like = self.reader
            self._readers[split] = PairReader(
                opened, opened.image_of_caption,
                augmentation=like.augmentation, vocabulary=like.vocabulary, pin_memory=like.pin_memory,
            )  # fmt: skip
        return self._readers[split]


class Round:
    """The batches of one round."""

    def __init__(self, feeds: Feeds, plan: Sequence[Feed], batch_size: int) -> None:
        self.feeds, self.plan, self.batch_size = feeds, plan, batch_size
        self._turns = [steps_of(feed, batch_size) for feed in plan]
        self._orders: dict[int, tuple[tuple[Any, ...], np.ndarray]] = {}  # the last shuffle of each feed

    def __len__(self) -> int:
        """Steps: the batches of the first feed."""
        return self._turns[0]

    def batches(self, at: Position) -> Iterator[Batches]:
        """From the step `at` on, a batch of each feed; None for one that has none."""
        begin = replace(at)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as reader:
            ahead: deque[Future[Batches]] = deque()
            try:
                for step in range(begin.step, len(self)):
                    ahead.append(reader.submit(self._read, begin, step))
                    if len(ahead) > _AHEAD:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:  # left early: what nobody will take is not read
                reader.shutdown(wait=True, cancel_futures=True)

    def _read(self, at: Position, step: int) -> Batches:
        return tuple(self._batch(at, step, number) for number in range(len(self.plan)))

    def _batch(self, at: Position, step: int, number: int) -> Batch | None:
        feed, per_turn = self.plan[number], self._turns[number]
        if not per_turn:
            return None
        turn, place = divmod(step, per_turn)
        # Names grow only where there is something to tell apart: a run over all pairs keeps the draws it always had.
        plain = feed is self.feeds.all_pairs and not (at.round or number or turn)
        where = (at.piece, at.epoch)
        which: tuple[Any, ...] = () if plain else (at.round, number, turn)
        order = self._order("batch", self.feeds.seed, *where, *which, pairs=len(feed.captions), number=number)
        rows = order[place * self.batch_size : (place + 1) * self.batch_size]
        augmented = self.feeds.reader.augmentation is not None
        rng = rng_for("augment", self.feeds.seed, *where, step, *which) if augmented else None
        return self.feeds.read(feed, rows, rng)

    def _order(self, *names: Any, pairs: int, number: int) -> np.ndarray:
        """A turn's shuffle of a feed, drawn once."""
        known = self._orders.get(number)
        if known is None or known[0] != names:
            known = self._orders[number] = (names, rng_for(*names).permutation(pairs))
        return known[1]


def steps_of(feed: Feed, batch_size: int) -> int:
    """Batches that a feed gives before it begins anew.

    A last batch of a single pair, with nothing to compare it to, is left out; so is one with less than a pair for each
    process.
    """
    whole, rest = divmod(len(feed.captions), batch_size)
    return whole + (not feed.drop_last and rest >= max(2, world()))


def check_shares(pairs: int, batch_size: int) -> None:
    """Every process must have a pair of every batch of all pairs.

    Raises:
        HarnessError: a batch, or the epoch's last, has fewer pairs than there are processes.
    """
    rest = pairs % batch_size
    fewest = min(batch_size, rest) if rest > 1 else batch_size
    if fewest < world():
        which = "the last batch of an epoch has" if fewest == rest else "a batch has"
        raise HarnessError(
            f"{world()} processes: {which} {fewest} pairs (schedule.batch_size = {batch_size} for all of them "
            f"together); accepted: at most {fewest} processes; start fewer"
        )
