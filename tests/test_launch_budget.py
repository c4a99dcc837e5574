"""`harness run --budget`: what fits goes first, and at the end the workers stop after their checkpoints."""

import json
import sys
from pathlib import Path

import pytest
from ledger_toys import IMPORTABLE, a_spec
from toy import harness, write_grid

from harness.launch import pool
from harness.launch.budget import Budget
from harness.launch.engines.local import Local
from harness.ledger import Cell

TWO = """
[axes]
seed = [0, 1]
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 1
"""
# Works for the seconds that its cell names, a tenth a step, and continues where it was stopped.
WORKER = (
    IMPORTABLE
    + """
import signal, sys, time
from pathlib import Path
from harness.ledger import Cell, Claim
from ledger_toys import a_result, a_row

cell = Cell(Path(sys.argv[1]))
claim = Claim.take(cell.folder)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
for step in range(len(cell.rows()), round(10 * cell.spec["run"]["seconds"])):
    time.sleep(0.1)
    cell.append_row(a_row(step))
    cell.path("checkpoint.pt").touch()
    if stop:
        claim.release()
        sys.exit(130)
cell.write_result(a_result(seconds=1.0))
claim.release()
"""
)


def cells_of(folder: Path, **seconds: float) -> list[Cell]:
    cells = []
    for name, needed in seconds.items():
        cell = Cell(folder / name)
        cell.folder.mkdir(parents=True)
        cell.path("spec.json").write_text(json.dumps(a_spec(name, cell=name, run={"seconds": needed})))
        cells.append(cell)
    return cells


def test_cells_that_fit_go_first_and_a_slot_is_never_idle(tmp_path: Path) -> None:
    long, short, unknown = cells_of(tmp_path, long=1, short=1, unknown=1)
    budget = Budget(100, {"long": 500.0, "short": 50.0})
    assert budget.first([long, short, unknown]) == 1
    assert budget.first([long, unknown]) == 1
    assert budget.first([long]) == 0
    assert not budget.spent
    assert Budget(0, {}).spent


def test_how_many_fit(tmp_path: Path) -> None:
    budget = Budget(100, dict.fromkeys("abcde", 40.0))
    assert budget.fitting("abcde", jobs=1) == 2
    assert budget.fitting("abcde", jobs=2) == 4
    assert budget.fitting("abcde", jobs=9) == 5
    assert budget.fitting("xyz", jobs=1) == 0  # of unknown cost
    assert Budget(100, {"a": 500.0, "b": 60.0, "c": 40.0}).fitting("abc", jobs=1) == 2


class UntilRows(Budget):
    """Spent when a cell has so many rows, however long that takes on this machine."""

    def __init__(self, cell: Cell, rows: int) -> None:
        super().__init__(1e9, {"long": 2e9, "last": 2e9, "short": 0.1})
        self.cell, self.rows = cell, rows

    @property
    def spent(self) -> bool:
        return len(self.cell.rows()) >= self.rows


def test_a_spent_budget_stops_after_a_checkpoint_and_the_next_launcher_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    monkeypatch.setattr(pool, "worker_command", lambda *_: lambda cell: [sys.executable, str(worker), str(cell.folder)])
    long, last, short = cells = cells_of(tmp_path / "runs", long=20, last=3, short=0.1)
    budget = UntilRows(long, 5)
    states = pool.run_cells(cells, data=tmp_path, engine=Local(1), budget=budget)
    assert states == {long: "interrupted", last: "waiting", short: "done"}
    assert 5 <= len(long.rows()) < 200
    assert long.failure() is None
    assert "stopped long" in capfd.readouterr().out
    stopped_at = len(long.rows())
    long.path("spec.json").write_text(json.dumps(a_spec("long", run={"seconds": stopped_at / 10 + 0.2})))
    states = pool.run_cells([long], data=tmp_path, engine=Local(1))
    assert states == {long: "done"}
    assert [row["epoch"] for row in long.rows()] == list(range(stopped_at + 2))


@pytest.mark.slow
def test_the_verb_leaves_the_rest_for_later(tmp_path: Path, toy_data: Path) -> None:
    grid = write_grid(tmp_path, TWO)
    ran = harness("run", grid, "--data", toy_data, "--budget", "0.2s", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "budget 0:00: enough for 0 of 2 cells, by the estimate (2 without one)" in ran.stdout
    assert "toy: 0 of 2 cells done, 0 failed" in ran.stdout
    assert "the budget is spent; the same command continues the 2 cells not finished yet" in ran.stdout


@pytest.mark.parametrize("given", ["12", "h", "1h30", "-2h", "0h", "soon"])
def test_a_budget_is_a_time(tmp_path: Path, given: str) -> None:
    ran = harness("run", "demo", f"--budget={given}", cwd=tmp_path)
    assert ran.returncode == 2
    assert f"'{given}': write a time, for example 12h, 90m or 1h30m" in ran.stderr
