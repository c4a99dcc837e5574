"""What a launcher keeps: the mirrors of its cells, brought up to date while it works."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.ledger import Cell
from harness.tracking.target import PATIENCE, Extras, Target
from harness.tracking.targets import MLFLOW, opener

MANY = 100  # finished cells that are new to a launcher and worth one search instead of a look at each


class Mirror:
    """Call `update` every few seconds; it never raises and never keeps the launcher for long.

    After a failure a mirror is left alone for a minute, and `complaint` holds the line to show.

    Args:
        runs: the folder of the ledger.
        uri: of MLflow's store, as for `open_store`.
        targets: names of `TARGETS`.
        grid: the experiment to log to, if not the grid that each cell names: grids may share cells.
        extras: what is shown beside a run's own files.
        sweep: the folder of the sweep whose trials the cells are.

    Raises:
        HarnessError: a target is unknown, or its package is not installed.
    """

    def __init__(
        self, runs: Path, *, uri: str | None = None, targets: Sequence[str] = (MLFLOW,), grid: str | None = None,
        extras: Extras | None = None, sweep: Path | None = None,
    ) -> None:  # fmt: skip
        openers = [opener(name, runs, uri=uri, extras=extras) for name in dict.fromkeys(targets)]
        self._copies = [_Copy(each, grid, sweep) for each in openers]

    def update(self, cells: Iterable[Cell]) -> None:
        """Mirror what changed since the last call."""
        cells = list(cells)
        for copy in self._copies:
            copy.update(cells)

    @property
    def complaint(self) -> str | None:
        return "; ".join(copy.complaint for copy in self._copies if copy.complaint) or None

    def close(self) -> None:
        """The end of the launcher's work."""
        for copy in self._copies:
            copy.close()


class _Copy:
    """One target, and what it has been shown of each cell."""

    def __init__(self, opened: Callable[[], Target], grid: str | None, sweep: Path | None) -> None:
        self.complaint: str | None = None
        self._open, self._grid, self._sweep = opened, grid, sweep
        self._target: Target | None = None
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._next_try = 0.0

    def update(self, cells: list[Cell]) -> None:
        if time.monotonic() < self._next_try:
            return
        try:
            target = self._target = self._target or self._open()
            if self._sweep is not None:
                target.mirror_sweep(self._sweep)
            changed = {cell: looks for cell in cells if self._seen.get(cell.fingerprint) != (looks := _looks(cell))}
            done = [cell for cell, looks in changed.items() if looks[0] == "done"]
            whole = target.whole(done, self._grid) if len(done) > MANY else set()
            for cell, looks in changed.items():
                if cell not in whole and looks[0] != "damaged":
                    target.mirror(cell, self._grid or cell.spec["grid"])
                self._seen[cell.fingerprint] = looks
            self.complaint = None
        except HarnessError as error:
            self.complaint = str(error)
            self._next_try = time.monotonic() + PATIENCE

    def close(self) -> None:
        if self._target is not None:
            with suppress(HarnessError):
                self._target.close()


def _looks(cell: Cell) -> tuple[Any, ...]:
    """What a cell's change shows by."""
    files = ("metrics.jsonl", "result.json", "failure.json")
    return cell.state(), *map(_stamp, map(cell.path, files))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size
