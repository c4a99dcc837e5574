"""A pool of worker processes on this machine, one per cell, and what they are doing on the screen.

The pool decides nothing about a cell: a worker claims it in the ledger or finds it held. So several pools may run the
same grid at once; each cell is trained by one of them, and each pool returns when the whole grid is finished.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.launch.budget import Budget
from harness.launch.display import Display
from harness.ledger import Cell

POLL = 0.25  # seconds between looks at the workers
PACE = 5.0  # seconds between updates of the mirror: a curve in a browser need not be younger
ELSEWHERE = 5.0  # seconds before a cell that another pool works on is looked at again
HELD = 3  # exit status of a worker that found its cell held by another

Update = Callable[[Iterable[Cell]], None]


@dataclass
class Pool:
    """Cells on their way: `waiting` for a place among `jobs`, `running` here, or `elsewhere`, in another pool."""

    command: Callable[[Cell], list[str]]
    jobs: int
    waiting: list[Cell] = field(default_factory=list)
    running: dict[Cell, subprocess.Popen[bytes]] = field(default_factory=dict)
    elsewhere: dict[Cell, float] = field(default_factory=dict)  # cell -> when to look again
    budget: Budget | None = None

    def __contains__(self, cell: Cell) -> bool:
        return cell in self.running or cell in self.elsewhere or cell in self.waiting

    def start(self) -> None:
        """Start workers for waiting cells while there are places."""
        now = time.monotonic()
        for cell, due in list(self.elsewhere.items()):
            if now >= due:
                del self.elsewhere[cell]
                self.waiting.append(cell)
        while self.waiting and len(self.running) < self.jobs:
            cell = self.waiting.pop(self.budget.first(self.waiting) if self.budget else 0)
            state = cell.state()
            if state == "done":
                continue
            if state == "running":
                self.elsewhere[cell] = now + ELSEWHERE
                continue
            threads = str(max(1, (os.cpu_count() or 1) // self.jobs))
            environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
            log = open(cell.path("log.txt"), "ab")  # noqa: SIM115 (the worker keeps it)
            with log:
                self.running[cell] = subprocess.Popen(
                    self.command(cell), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
                    start_new_session=True,
                )  # fmt: skip

    def collect(self) -> dict[Cell, str]:
        """Let go of the workers that have ended; gives those that ended before their cell and how, in words."""
        died = {}
        for cell, process in list(self.running.items()):
            if process.poll() is None:
                continue
            del self.running[cell]
            state = cell.state()
            unfinished = state in ("waiting", "interrupted")
            if state == "running" or (unfinished and process.returncode == HELD):  # another pool's worker was quicker
                self.elsewhere[cell] = time.monotonic() + ELSEWHERE
            elif unfinished and process.returncode != 0:
                how = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
                died[cell] = f"the worker ended with {how} before it could say why"
        return died

    def terminate(self, cell: Cell) -> None:
        """Ask a cell's worker, if it is here, to write its checkpoint and end."""
        if cell in self.running:
            self.running[cell].send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask all of them; they need a moment for the step they are in."""
        for cell in self.running:
            self.terminate(cell)
        for process in self.running.values():
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


def write_death(cell: Cell, how: str) -> None:
    """For a worker that could not: what its log ends with."""
    tail = cell.path("log.txt").read_text(errors="replace")[-4000:]
    cell.write_failure(how, tail, cell.heartbeat())


def worker_command(data: Path, options: Sequence[str]) -> Callable[[Cell], list[str]]:
    """What starts a worker for a cell; `options` are passed on to `harness cell` (device, precision, ...)."""
    return lambda cell: [
        sys.executable, "-m", "harness", "cell", cell.fingerprint,
        "--runs", str(cell.folder.parent), "--data", str(data), *options,
    ]  # fmt: skip


def run_cells(
    cells: Sequence[Cell],
    *,
    data: Path,
    jobs: int = 1,
    worker_options: Sequence[str] = (),
    update: Update = lambda _: None,
    budget: Budget | None = None,
) -> dict[Cell, str]:
    """Bring every cell to its end.

    Args:
        cells: cells of one ledger, in the order to start them. Finished ones are skipped.
        data: the data folder.
        jobs: how many at once; each gets an equal share of the processor cores.
        worker_options: passed on to `harness cell` (device, precision, ...).
        update: brings a mirror of these cells up to date; called every few seconds and at the end.
        budget: the time for it all; when it is spent, the workers are stopped after their checkpoints.

    Returns:
        The state of each cell. KeyboardInterrupt stops the workers after their checkpoints.
    """
    waiting = [cell for cell in cells if cell.state() != "done"]
    pool = Pool(worker_command(data, worker_options), jobs, waiting, budget=budget)
    with sigterm_as_interrupt(), Display(cells) as display, following(cells, update):
        try:
            while pool.waiting or pool.running or pool.elsewhere:
                if budget and budget.spent:
                    pool.stop()
                    break
                pool.start()
                for cell, how in pool.collect().items():
                    write_death(cell, how)
                display.update(pool.running)
                time.sleep(POLL)
        except KeyboardInterrupt:
            pool.stop()
            raise
        finally:
            display.update({})
    return {cell: cell.state() for cell in cells}


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """A launcher that is asked to end (by a batch system, say) stops its workers as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


@contextmanager
def following(cells: Sequence[Cell], update: Update) -> Iterator[None]:
    """Calls `update(cells)` every few seconds from a thread, so no worker ever waits for it; at the end once more."""
    end = threading.Event()

    def follow() -> None:
        while not end.wait(PACE):
            update(cells)

    thread = threading.Thread(target=follow, daemon=True, name="mirror")
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        update(cells)
