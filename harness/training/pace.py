"""How fast a run goes, for its progress report."""

import time


class Pace:
    """Seconds left, from the steps this process has taken.

    Args:
        left: steps to take.
        total: steps of the whole run.
    """

    def __init__(self, left: int, total: int) -> None:
        self.left, self.total = left, total
        self.taken = 0
        self.began = time.monotonic()

    def tick(self) -> None:
        """One more step is taken."""
        self.taken += 1

    @property
    def seconds_left(self) -> float:
        return (time.monotonic() - self.began) / max(self.taken, 1) * (self.left - self.taken)

    @property
    def share_done(self) -> float:
        return 1 - (self.left - self.taken) / max(self.total, 1)
