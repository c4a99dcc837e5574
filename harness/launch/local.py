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

from harness.launch.display import Display
from harness.ledger import Cell

POLL = 0.25  # seconds between looks at the workers
PACE = 5.0  # seconds between updates of the mirror: a curve in a browser need not be younger
ELSEWHERE = 5.0  # seconds before a cell that another pool works on is looked at again

Update = Callable[[Iterable[Cell]], None]


@dataclass
class _Pool:
    command: Callable[[Cell], list[str]]
    jobs: int
    waiting: list[Cell]
    running: dict[Cell, subprocess.Popen[bytes]] = field(default_factory=dict)
    elsewhere: dict[Cell, float] = field(default_factory=dict)  # cell -> when to look again


def run_cells(
    cells: Sequence[Cell],
    *,
    data: Path,
    jobs: int = 1,
    worker_options: Sequence[str] = (),
    update: Update = lambda _: None,
) -> dict[Cell, str]:
    """Bring every cell to its end.

    Args:
        cells: cells of one ledger, in the order to start them. Finished ones are skipped.
        data: the data folder.
        jobs: how many at once; each gets an equal share of the processor cores.
        worker_options: passed on to `harness cell` (device, precision, ...).
        update: brings a mirror of these cells up to date; called every few seconds and at the end.

    Returns:
        The state of each cell. KeyboardInterrupt stops the workers after their checkpoints.
    """

    def command(cell: Cell) -> list[str]:
        return [
            sys.executable, "-m", "harness", "cell", cell.fingerprint,
            "--runs", str(cell.folder.parent), "--data", str(data), *worker_options,
        ]  # fmt: skip

    pool = _Pool(command, jobs, [cell for cell in cells if cell.state() != "done"])
    with _sigterm_as_interrupt(), Display(cells) as display, _following(cells, update):
        try:
            while pool.waiting or pool.running or pool.elsewhere:
                _start(pool)
                _collect(pool)
                display.update(pool.running)
                time.sleep(POLL)
        except KeyboardInterrupt:
            _stop(pool)
            raise
        finally:
            display.update({})
    return {cell: cell.state() for cell in cells}


def _start(pool: _Pool) -> None:
    now = time.monotonic()
    for cell, due in list(pool.elsewhere.items()):
        if now >= due:
            del pool.elsewhere[cell]
            pool.waiting.append(cell)
    while pool.waiting and len(pool.running) < pool.jobs:
        cell = pool.waiting.pop(0)
        state = cell.state()
        if state == "done":
            continue
        if state == "running":
            pool.elsewhere[cell] = now + ELSEWHERE
            continue
        threads = str(max(1, (os.cpu_count() or 1) // pool.jobs))
        environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}
        log = open(cell.path("log.txt"), "ab")  # noqa: SIM115 (the worker keeps it)
        with log:
            pool.running[cell] = subprocess.Popen(
                pool.command(cell), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip


def _collect(pool: _Pool) -> None:
    for cell, process in list(pool.running.items()):
        if process.poll() is None:
            continue
        del pool.running[cell]
        state = cell.state()
        if state == "running":  # another pool's worker was quicker
            pool.elsewhere[cell] = time.monotonic() + ELSEWHERE
        elif state in ("waiting", "interrupted") and process.returncode != 0:
            died = f"signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
            tail = cell.path("log.txt").read_text(errors="replace")[-4000:]
            cell.write_failure(f"the worker ended with {died} before it could say why", tail, cell.heartbeat())


def _stop(pool: _Pool) -> None:
    """Ask the workers to write their checkpoints and end; they need a moment for the step they are in."""
    for process in pool.running.values():
        process.send_signal(signal.SIGTERM)
    for process in pool.running.values():
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
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
def _following(cells: Sequence[Cell], update: Update) -> Iterator[None]:
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
