"""What an engine is: it starts one worker process, `harness cell`, for each cell it is given, and knows when it ended.

An engine decides nothing about a cell. The claim in the cell's folder says who works on it, and a worker that finds the
cell held by another ends with status 3. So several launchers and several engines may be given the same cells.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from harness.ledger import Cell

Command = Callable[[Cell], list[str]]  # what starts the worker of a cell


class Worker(ABC):
    """One worker process, here or on another machine."""

    @abstractmethod
    def poll(self) -> int | None:
        """None while it waits in a queue or runs, else its exit status (negative: the signal that ended it).

        Called four times a second for every worker, so it must be cheap.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ask it to write its checkpoint and end (SIGTERM to the process); returns at once. Harmless once it ended."""

    @abstractmethod
    def kill(self) -> None:
        """End it without a checkpoint."""

    def wait(self, seconds: float) -> bool:
        """Whether it ends within `seconds`."""
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        return True

    def why(self) -> str:
        """Of a worker that has ended: how, in a few words for a failure's message."""
        status = self.poll() or 0
        return f"signal {-status}" if status < 0 else f"status {status}"

    @property
    def queued(self) -> bool:
        """Whether it only waits in a queue, as far as is known: the display need not look at its cell."""
        return False


class Engine(ABC):
    """Starts workers in one place: this machine, a batch system, a cluster.

    The keyword-only arguments of a subclass are its settings in a profile file, typed and range-checked as a
    component's hyperparameters are.
    """

    def __init__(self, jobs: int) -> None:
        """`jobs`: how many cells the launcher hands over at once."""
        self.jobs = jobs

    @abstractmethod
    def start(self, cells: Sequence[Cell], command: Command) -> dict[Cell, Worker]:
        """A worker for each of these cells; what it prints is appended to the cell's log.txt."""

    def stop(self, workers: Iterable[Worker]) -> None:
        """Ask all of them to write their checkpoints and end; returns at once."""
        for worker in workers:
            worker.stop()

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what the engine holds: connections, a cluster that it started."""
