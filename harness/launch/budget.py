"""A launcher's time: which cells are likely to end within it, and when to stop the workers."""

import heapq
import time
from collections.abc import Iterable, Mapping, Sequence

from harness.launch.estimate import Plan
from harness.ledger import Cell


class Budget:
    """How long a launcher may work, in seconds from now on.

    Cells that are likely to end in the time left start first. When there is none, the next one starts all the same: it
    is stopped at the end of the budget after a checkpoint, from which the next launcher continues it.

    Args:
        seconds: how long the launcher may work.
        left: estimated seconds to the end of a cell, by fingerprint; a cell without an estimate counts as short enough.
    """

    def __init__(self, seconds: float, left: Mapping[str, float]) -> None:
        self.seconds = seconds
        self.left = left
        self._ends = time.monotonic() + seconds

    @classmethod
    def over_plans(cls, seconds: float, plans: Iterable[Plan]) -> "Budget":
        return cls(seconds, {plan.cell.fingerprint: plan.left for plan in plans if plan.left is not None})

    @property
    def spent(self) -> bool:
        return time.monotonic() >= self._ends

    def first(self, waiting: Sequence[Cell]) -> int:
        """The place of the cell to start next."""
        remaining = self._ends - time.monotonic()
        fitting = (place for place, cell in enumerate(waiting) if self.left.get(cell.fingerprint, 0.0) <= remaining)
        return next(fitting, 0)

    def fitting(self, fingerprints: Iterable[str], jobs: int) -> int:
        """How many of these cells end within the budget, `jobs` at once; those without an estimate are not counted."""
        ends = [0.0] * jobs
        count = 0
        for fingerprint in fingerprints:
            if fingerprint in self.left and ends[0] + self.left[fingerprint] <= self.seconds:
                heapq.heapreplace(ends, ends[0] + self.left[fingerprint])
                count += 1
        return count
