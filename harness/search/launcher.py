"""The loop of a sweep: ask for trials while the budget lasts, train each as a cell of the ledger, tell what came out.

A trial is trained by the same worker as a cell of a grid, from the same pool, and is a cell like any other: two trials
that try the same values share one, and one whose worker or launcher was killed continues from its checkpoint.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.launch.display import Display
from harness.launch.engines import Engine
from harness.launch.pool import POLL, RETRIES, Pool, follow, sigterm_as_interrupt, worker_command, write_death
from harness.ledger import Cell, Ledger
from harness.ledger.aside import set_aside
from harness.ledger.comparable import Nothing, Now, differences
from harness.printing.numbers import count, ordinal
from harness.search.declaration import Sweep
from harness.search.records import TrialRow, winner, write_trials
from harness.search.study import Study
from harness.spec import RunSpec, build, fingerprint

LOOK = 1.0  # seconds between looks at the trials of other launchers, once there is nothing left to ask for


@dataclass
class _Open:
    """A trial of this launcher that has not ended."""

    trial: Any
    cell: Cell
    last_piece: int
    reported: set[int] = field(default_factory=set)  # epochs of the last piece


class Launcher:
    """One launcher at work on a sweep.

    Args:
        sweep: what is searched.
        study: this launcher's hold on it.
        ledger: where its cells lie.
        data: the data folder.
        engine: where the workers run.
        jobs: trials at once.
        worker_options: passed on to `harness cell` (device, precision, ...).
        now: what lies in the data folder. A trial's cell that is finished on anything else (by another search, say)
            gives no value.
        retrain: move such a cell aside and train it again; else the search ends with one line about it.
    """

    def __init__(
        self,
        sweep: Sweep,
        study: Study,
        ledger: Ledger,
        data: Path,
        *,
        engine: Engine,
        jobs: int,
        worker_options: Sequence[str] = (),
        now: Now | None = None,
        retrain: bool = False,
    ) -> None:
        self.now, self.retrain = now or Nothing(), retrain
        self.sweep, self.study, self.ledger = sweep, study, ledger
        self.jobs = jobs
        self.pool = Pool(worker_command(data, worker_options), engine)
        self.open: dict[int, _Open] = {}
        self.cells: list[Cell] = []  # of every trial that this launcher has seen, for the mirror
        self.rows: list[TrialRow] = []
        self._costs: dict[int, tuple[float | None, str]] = {}  # of trials that have ended
        self._next_look = 0.0

    def run(self, update: Callable[[Iterable[Cell]], None] = lambda _: None) -> list[TrialRow]:
        """Until every trial of the budget has ended, whoever works on it; gives them all.

        `update` is called every few seconds with the cells, from a thread of its own. KeyboardInterrupt stops the
        workers after their checkpoints; the trials wait for the next launcher.

        Raises:
            HarnessError: a trial's cell is finished on other data than now; the workers are stopped likewise.
        """
        with (
            sigterm_as_interrupt(),
            Display([], self._summary) as self.display,
            follow(self.cells, update),
        ):
            try:
                self._write_trials()
                while not self._step():
                    self.display.update(self.pool.active)
                    time.sleep(POLL)
            except (KeyboardInterrupt, HarnessError):
                self.pool.stop()
                raise
            finally:
                self.display.update(None)
        return self.rows

    def _step(self) -> bool:
        """One look at everything; true when there is nothing left to do."""
        self.pool.start()
        died = self.pool.collect()
        for one in list(self.open.values()):
            self._look(one, died)
        if len(self.open) >= self.jobs or time.monotonic() < self._next_look:
            return False
        with self.study.deciding():
            begun = self.study.trials()
            trial = self.study.orphan() or (self.study.ask() if len(begun) < self.study.budget else None)
            if trial is not None:
                self._begin(trial)
            elif not any(frozen.state.name == "RUNNING" for frozen in begun):
                self._write_trials()
                return True
            else:
                self._next_look = time.monotonic() + LOOK
        return False

    def _begin(self, trial: Any) -> None:
        """Make a trial's cell and put it in the pool."""
        values = self.sweep.values(trial.params)
        try:
            run = self.sweep.run(values)
        except HarnessError as error:
            self.display.say(f"failed  trial {trial.number}  {error}", style="red")
            self.study.fail(trial, str(error))
            self._write_trials()
            return
        settings = " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())
        entry = {
            "fingerprint": fingerprint(run),
            "grid": self.sweep.name,
            "cell": f"trial {trial.number} {settings}",
            "labels": dict(trial.params),
            "run": run.table(),
            "sweep": self.sweep.name,
            "trial": trial.number,
        }
        cell = self._cell(self.ledger.add(entry))
        trial.set_user_attr("fingerprint", cell.fingerprint)
        self.open[trial.number] = _Open(trial, cell, _last_piece(run), set(self._reported(trial)))
        self.display.add(cell)
        self._make_way(cell)
        if cell not in self.pool:
            self.pool.waiting.append(cell)
        self._write_trials()

    def _make_way(self, cell: Cell) -> None:
        """Move a cell aside that was finished on other data before, if that is asked for; else refuse it."""
        why = self._other(cell)
        if not why:
            return
        if not self.retrain:
            raise HarnessError(
                f"{cell.name}: its run {cell.fingerprint} was {why}; accepted: a run of what lies there now; "
                f"`harness sweep {self.sweep.path} --retrain` trains it again and keeps what there is"
            )
        path = set_aside(cell, cell.result())
        if path is not None:
            self.display.say(f"again   {cell.name}  {why}; what there was is in {path}")

    def _other(self, cell: Cell) -> str:
        return "" if cell.damage() else ", ".join(differences(cell, self.now).values())

    def _look(self, one: _Open, died: dict[Cell, str]) -> None:
        """End a trial whose cell has ended or that is pruned; give a cell whose worker died another one."""
        cell, state = one.cell, one.cell.state()
        bad = self._report(one)
        if state == "done":
            result, why = cell.result() or {}, self._other(cell)
            if why:
                raise HarnessError(
                    f"{cell.name}: its run {cell.fingerprint} was {why}: the data changed while the sweep was at work; "
                    "start it again, and it says what to do"
                )
            cell.drop_checkpoints()  # where its worker was killed before it did so
            value = result["dev"][self.sweep.objective[4:]]
            self._end(one, lambda: self.study.complete(one.trial, value, cell.name, result["dev"]))
        elif bad:
            self.display.say(f"pruned  {cell.name}  after epoch {ordinal(max(one.reported))} of its last piece")
            self._end(one, lambda: self.study.prune(one.trial))
            if all(other.cell is not cell for other in self.open.values()):
                self.display.drop(cell)
                self.pool.terminate(cell)
        elif cell in self.pool:
            return
        elif state in ("failed", "damaged"):
            why = cell.damage() or str((cell.failure() or {}).get("error"))
            self._end(one, lambda: self.study.fail(one.trial, why))
        elif state == "running":  # another launcher's worker was quicker
            self.pool.waiting.append(cell)
        else:
            self._try_again(one, died.get(cell, "the worker ended and left its cell unfinished"))

    def _try_again(self, one: _Open, how: str) -> None:
        attempts = one.trial.user_attrs.get("deaths", 0) + 1
        if attempts > RETRIES:
            write_death(one.cell, how)
            self.display.say(f"failed  {one.cell.name}  {how}, {attempts} times", style="red")
            self._end(one, lambda: self.study.fail(one.trial, f"{how}, {attempts} times"))
            return
        self.display.say(f"again   {one.cell.name}  {how}; it continues ({attempts} of {RETRIES})")
        with self.study.deciding():
            one.trial.set_user_attr("deaths", attempts)
        self.pool.waiting.append(one.cell)

    def _report(self, one: _Open) -> bool:
        """Report the epochs of the last piece that are new; whether they are so bad that the trial is to end."""
        new = {
            row["epoch_in_piece"]: value for row in one.cell.rows()
            if row["piece"] == one.last_piece and row["epoch_in_piece"] not in one.reported
            and (value := row["values"].get(self.sweep.objective)) is not None
        }  # fmt: skip
        if not new:
            return False
        with self.study.deciding():
            if not self.study.owns(one.trial):
                return False
            for epoch, value in new.items():
                one.trial.report(value, epoch)
                one.reported.add(epoch)
            return self.sweep.pruner.name != "none" and bool(one.trial.should_prune())

    def _end(self, one: _Open, tell: Callable[[], None]) -> None:
        """Tell how a trial ended, if it is still this launcher's to tell."""
        del self.open[one.trial.number]
        with self.study.deciding():
            if not self.study.owns(one.trial):
                return
            before = winner(self.rows, self.sweep.direction)
            tell()
            self._write_trials()
        best = winner(self.rows, self.sweep.direction)
        if best is not None and best != before and best.number == one.trial.number:
            self.display.update(self.pool.active)  # "done" first
            self.display.say(f"best    {one.cell.name}  {words(self.sweep, best.value)}", style="bold")

    def _write_trials(self) -> None:
        """trials.csv, as the study stands; the caller may hold the lock, which is taken again then."""
        with self.study.deciding():
            self.rows = [self._row(frozen) for frozen in self.study.trials()]
            write_trials(self.study.folder / "trials.csv", list(self.sweep.space), self.rows)

    def _row(self, frozen: Any) -> TrialRow:
        number, state = frozen.number, frozen.state.name
        name = frozen.user_attrs.get("fingerprint", "")
        cost = self._costs.get(number)
        if cost is None:
            cost = (None, frozen.user_attrs.get("host", ""))
            if name:
                cell = self._cell(self.ledger.cell(name))
                cost = _cost(cell, cost[1])
            if state != "RUNNING":
                self._costs[number] = cost
        return TrialRow(number, state, frozen.value, dict(frozen.params), name, *cost)

    def _cell(self, cell: Cell) -> Cell:
        """The one object for a cell, which the pool and the display know it by."""
        for known in self.cells:
            if known.fingerprint == cell.fingerprint:
                return known
        self.cells.append(cell)
        return cell

    def _reported(self, trial: Any) -> Iterable[int]:
        return next(t for t in self.study.trials() if t.number == trial.number).intermediate_values

    def _summary(self) -> tuple[str, int, int]:
        """The last line of the display: trials that have ended, of the budget, and the best so far."""
        ended = [row for row in self.rows if row.state != "RUNNING"]
        text = f"{len(ended)} of {count(self.study.budget, 'trial')} over, {len(self.rows) - len(ended)} running"
        best = winner(self.rows, self.sweep.direction)
        if best is not None:
            text += f"; best {words(self.sweep, best.value)} (trial {best.number})"
        return text, len(ended), self.study.budget


def words(sweep: Sweep, value: float | None) -> str:
    """A value of the objective, for people."""
    name = "dev rSum" if sweep.objective == "dev/rsum" else sweep.objective
    return f"{name} {value:.1f}" if value is not None else f"{name} unknown"


def settings_of(row: TrialRow) -> str:
    return ", ".join(f"{key} = {_short(value)}" for key, value in row.parameters.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _last_piece(run: RunSpec) -> int:
    return len(build(run.method).phases(run.schedule.epochs, steps_per_epoch=1_000_000)) - 1


def _cost(cell: Cell, host: str) -> tuple[float | None, str]:
    """Seconds of training so far and where; of a trial that was pruned, what its epochs took."""
    result = cell.result()
    if result is not None:
        return float(result["seconds"]), str(result["environment"]["hostname"])
    rows = cell.rows()
    return (sum(row["seconds"] for row in rows) if rows else None), host
