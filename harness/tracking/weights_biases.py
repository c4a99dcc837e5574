"""The mirror in Weights & Biases: one run for each cell, of the project WANDB_PROJECT, grouped by grid.

W&B cannot be asked offline what a run has, and appends whatever comes. So each record of a cell has a fixed number, its
step: online, a run that is continued begins behind the last that the server has; offline, a run that was cut short is
deleted and written again whole. W&B draws the curves itself, so no figures are sent.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import HarnessError
from harness.files import read_json, write_json
from harness.ledger import Cell
from harness.tracking import records
from harness.tracking.target import Extras, Target, cell_lock

PROJECT = "crcl-harness"


@dataclass
class _Open:
    """A run that is being written, and how many records it has."""

    run: Any
    logged: int
    lock: FileLock


class WeightsBiases(Target):
    """Runs in W&B, online or as WANDB_MODE says. The files lie in WANDB_DIR, else in `wandb/` beside the runs.

    Args:
        runs: the folder of the ledger.
        extras: what is shown beside a run's own files.
    """

    def __init__(self, runs: Path, *, extras: Extras | None = None) -> None:
        super().__init__(extras)
        self.folder = Path(os.environ.get("WANDB_DIR") or runs.resolve().parent)
        self._open: dict[str, _Open] = {}

    @property
    def place(self) -> str:
        return str(self.folder / "wandb")

    def mirror(self, cell: Cell, grid: str) -> None:
        state, rows = cell.state(), cell.rows()
        if state == "damaged" or (state == "waiting" and not rows):
            return
        about = self._about(cell, grid)
        ending = _ending(cell, state)
        if about["ended"] is not None and about["ended"] == ending:
            return
        with _explained():
            if about["ended"] is not None and about["ended"].startswith("done"):
                about = self._renew(cell, grid)  # the cell was deleted and trained anew: another run
            one = self._open.get(cell.fingerprint) or self._begin(cell, grid, about)
            if one is None:
                return
            for number, values in enumerate(_log_lines(rows)):
                if number >= one.logged:
                    one.run.log(values, step=number)
                    one.logged = number + 1
            if ending is not None:
                self._end(one, cell, state)
                write_json(self._mark(cell, grid), {**about, "ended": ending})
            if ending is not None or state != "running":
                self._let_go(cell.fingerprint, failed=state != "done")

    def forget(self, cell: Cell, grid: str) -> None:
        """The run gets another name; W&B never takes one again. One that a server has stays there, to be deleted by
        its owner."""
        with _explained():
            self._renew(cell, grid)

    def close(self) -> None:
        for fingerprint in list(self._open):
            self._let_go(fingerprint, failed=True)

    def _begin(self, cell: Cell, grid: str, about: dict[str, Any]) -> _Open | None:
        """None where another launcher writes this run."""
        import wandb

        lock = cell_lock(cell, "wandb")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        name = _identity(cell, grid, about["attempt"])
        self._delete_offline(name)
        quiet = wandb.Settings(console="off", silent=True, disable_git=True, x_disable_stats=True, save_code=False)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), id=name, name=cell.spec["cell"], group=grid,
            dir=str(self.folder), config=dict(records.flatten(cell.spec["run"])), resume="allow", reinit="create_new",
            tags=[cell.fingerprint], settings=quiet,
        )  # fmt: skip
        run.define_metric("train/steps/*", step_metric="step")  # the first that fits counts
        run.define_metric("*", step_metric="epoch")
        opened = self._open[cell.fingerprint] = _Open(run, int(run.step), lock)
        return opened

    def _end(self, one: _Open, cell: Cell, state: str) -> None:
        result = cell.result()
        if state == "done" and result is not None:
            one.run.summary.update({point.key: point.value for point in records.result_points(result)})
        if self.extras.note is not None:
            one.run.notes = self.extras.note(cell)

    def _let_go(self, fingerprint: str, *, failed: bool) -> None:
        one = self._open.pop(fingerprint)
        try:
            with _explained():
                one.run.finish(exit_code=int(failed))
        finally:
            one.lock.release()

    def _renew(self, cell: Cell, grid: str) -> dict[str, Any]:
        about = self._about(cell, grid)
        self._delete_offline(_identity(cell, grid, about["attempt"]))
        about = {"attempt": about["attempt"] + 1, "ended": None}
        write_json(self._mark(cell, grid), about)
        return about

    def _delete_offline(self, name: str) -> None:
        for path in (self.folder / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(path, ignore_errors=True)

    def _mark(self, cell: Cell, grid: str) -> Path:
        folder = self.folder / "wandb" / "mirrored"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{_identity(cell, grid, 0)}.json"

    def _about(self, cell: Cell, grid: str) -> dict[str, Any]:
        return read_json(self._mark(cell, grid)) or {"attempt": 0, "ended": None}


def _identity(cell: Cell, grid: str, attempt: int) -> str:
    """A run's name for W&B."""
    return f"{cell.fingerprint}-{hashlib.sha256(grid.encode()).hexdigest()[:6]}-{attempt}"


def _ending(cell: Cell, state: str) -> str | None:
    file = {"done": "result.json", "failed": "failure.json"}.get(state)
    return file and f"{state} {hashlib.sha256(cell.path(file).read_bytes()).hexdigest()[:16]}"


def _log_lines(rows: list[dict[str, Any]]) -> Iterator[dict[str, float]]:
    """The records of a run in order, values by name: its sampled steps and its epochs."""
    for row in rows:
        steps: dict[int, dict[str, float]] = {}
        whole: dict[str, float] = {}
        for point in records.row_points(row):
            if point.key.startswith("train/steps/"):
                steps.setdefault(point.step, {"step": point.step})[point.key] = point.value
            else:
                whole[point.key] = point.value
        yield from steps.values()
        yield whole


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what goes wrong in W&B into one line."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # its client raises what its many parts raise, and no run may end for that
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise HarnessError(
            f"--mirror wandb: {said}; the runs are safe in their folders, and `harness sync --mirror wandb` brings W&B "
            "up to date; WANDB_MODE=offline needs no server and no key"
        ) from error
