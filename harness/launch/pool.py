"""Bring many cells to their end through an engine, and show what their workers are doing.

The pool decides nothing about a cell: a worker claims it in the ledger or finds it held. So several launchers may run
the same grid at once; each cell is trained by one of them, and each returns when the whole grid is finished.
"""

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.launch.budget import Budget
from harness.launch.display import Display
from harness.launch.engines import Command, Engine, Worker
from harness.ledger import Cell, claim

POLL = 0.25  # seconds between looks at the workers
PACE = 5.0  # seconds between updates of the mirror: a curve in a browser need not be younger
ELSEWHERE = 5.0  # seconds before a cell that another launcher works on is looked at again
STOP = 60.0  # seconds that workers have for the step they are in and their checkpoint
HELD = 3  # exit status of a worker that found its cell held by another
RETRIES = 3  # times that a cell gets another worker when one died; then the cause is memory, disk or a bug

Update = Callable[[Iterable[Cell]], None]


@dataclass
class Pool:
    """Cells on their way: `waiting` to be handed over, `running` with a worker of ours, or `elsewhere`, with another's.

    A worker that is handed over may still wait in a batch system's queue.
    """

    command: Command
    engine: Engine
    waiting: list[Cell] = field(default_factory=list)
    running: dict[Cell, Worker] = field(default_factory=dict)
    elsewhere: dict[Cell, float] = field(default_factory=dict)  # cell -> when to look again
    budget: Budget | None = None
    _deaths: dict[Cell, str] = field(default_factory=dict)  # how a worker ended whose cell is not yet free

    def __contains__(self, cell: Cell) -> bool:
        return cell in self.running or cell in self.elsewhere or cell in self.waiting

    @property
    def active(self) -> set[Cell]:
        """The cells whose workers do more than wait in a queue."""
        return {cell for cell, worker in self.running.items() if not worker.queued}

    def start(self) -> None:
        """Hand waiting cells to the engine while there are places."""
        batch: list[Cell] = []
        while self.waiting and len(self.running) + len(batch) < self.engine.jobs:
            cell = self.waiting.pop(self.budget.first(self.waiting) if self.budget else 0)
            state = cell.state()
            if state == "running":
                self.elsewhere[cell] = time.monotonic() + ELSEWHERE
            elif state not in ("done", "damaged"):
                batch.append(cell)
        if batch:
            self.running.update(self.engine.start(batch, self.command))

    def collect(self) -> dict[Cell, str]:
        """Take out the workers that have ended; gives the cells whose worker ended too early, and how, in words."""
        died: dict[Cell, str] = {}
        now = time.monotonic()
        ended = [cell for cell, worker in self.running.items() if worker.poll() is not None]
        for cell in ended:
            worker = self.running.pop(cell)
            if worker.poll() not in (0, HELD):
                self._deaths[cell] = f"the worker ended with {worker.why()} before it could say why"
        for cell in [*ended, *(cell for cell, due in self.elsewhere.items() if now >= due)]:
            self.elsewhere.pop(cell, None)
            state = cell.state()
            if state in ("done", "failed", "damaged"):
                self._deaths.pop(cell, None)
            elif (
                state == "running"
            ):  # another's worker; or ours died, and its claim lives until its heartbeat is silent
                self.elsewhere[cell] = now + ELSEWHERE
            elif cell in self._deaths:
                died[cell] = self._deaths.pop(cell)
            elif cell in ended:  # held until just now; or done, which a network disk does not show at once
                self.elsewhere[cell] = now + ELSEWHERE
            else:
                self.waiting.append(cell)
        return died

    def terminate(self, cell: Cell) -> None:
        """Ask a cell's worker, if it is ours, to write its checkpoint and end."""
        if cell in self.running:
            self.running[cell].stop()

    def stop(self) -> None:
        """Ask all of them; they need a moment for the step they are in."""
        self.engine.stop(self.running.values())
        until = time.monotonic() + STOP
        for worker in self.running.values():
            if not worker.wait(until - time.monotonic()):
                worker.kill()


def write_death(cell: Cell, how: str) -> None:
    """Write failure.json for a worker that could not: how it ended, and the end of its log."""
    log = cell.path("log.txt")
    tail = log.read_text(errors="replace")[-4000:] if log.exists() else ""  # a job may die before it opens its log
    cell.write_failure(how, tail, cell.heartbeat())


def worker_command(data: Path, options: Sequence[str]) -> Command:
    """What starts a worker for a cell; `options` are passed on to `harness cell` (device, precision, ...)."""
    return lambda cell: [
        sys.executable, "-m", "harness", "cell", cell.fingerprint,
        "--runs", str(cell.folder.parent), "--data", str(data), *options,
    ]  # fmt: skip


def machine_options(machine: Mapping[str, Any]) -> list[str]:
    """Keywords of `Machine` as the options of `harness cell`."""
    words = []
    for name, value in machine.items():
        flag = name.replace("_", "-")
        words += [f"--{flag}" if value else f"--no-{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def run_cells(
    cells: Sequence[Cell],
    *,
    data: Path,
    engine: Engine,
    worker_options: Sequence[str] = (),
    update: Update = lambda _: None,
    budget: Budget | None = None,
) -> dict[Cell, str]:
    """Bring every cell to its end. A worker that dies is followed by another one, `RETRIES` times for a cell.

    Args:
        cells: cells of one ledger, in the order to start them. Finished ones are skipped.
        data: the data folder.
        engine: where the workers run, and how many at once.
        worker_options: passed on to `harness cell` (device, precision, ...).
        update: brings a mirror of these cells up to date; called every few seconds and at the end.
        budget: the time for it all; when it is spent, the workers are stopped after their checkpoints.

    Returns:
        The state of each cell. KeyboardInterrupt stops the workers after their checkpoints.
    """
    states = {cell: cell.state() for cell in cells}
    waiting = [cell for cell in cells if states[cell] != "done"]
    for cell in set(cells).difference(waiting):
        cell.drop_checkpoints()  # where a worker was killed before it did so
    pool = Pool(worker_command(data, worker_options), engine, waiting, budget=budget)
    deaths: Counter[Cell] = Counter()
    told: set[Cell] = set()

    def tell_held(held: Iterable[Cell]) -> None:
        for cell in held:
            if cell not in told:
                told.add(cell)
                words = f"{claim.words(cell.folder)} still works on it, for another launcher or one that was killed"
                display.say(f"waits   {cell.name}  {words}")

    with sigterm_as_interrupt(), Display(cells) as display, follow(cells, update):
        try:
            tell_held(cell for cell in waiting if states[cell] == "running")
            while pool.waiting or pool.running or pool.elsewhere:
                if budget and budget.spent:
                    pool.stop()
                    break
                pool.start()
                tell_held(pool.elsewhere)
                for cell, how in pool.collect().items():
                    if not cell.path("spec.json").exists():
                        display.say(f"lost    {cell.name}  {cell.folder} was deleted; the same command trains it again")
                        continue
                    deaths[cell] += 1
                    if deaths[cell] > RETRIES:
                        write_death(cell, f"{how}, {deaths[cell]} times")
                    else:
                        display.say(f"again   {cell.name}  {how}; it continues ({deaths[cell]} of {RETRIES})")
                        pool.waiting.append(cell)
                display.update(pool.active)
                time.sleep(POLL)
        except KeyboardInterrupt:
            pool.stop()
            raise
        finally:
            display.update(None)
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
def follow(cells: Sequence[Cell], update: Update) -> Iterator[None]:
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
