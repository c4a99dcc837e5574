"""A grid of a thousand cells: planned and looked at quickly, and trained once by many launchers."""

import json
import multiprocessing
import os
import re
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from ledger_toys import IMPORTABLE, a_dataset, a_result, a_row
from pace import loops
from toy import harness, write_grid

from harness.cli import status
from harness.data import open_dataset
from harness.data.now import DataNow
from harness.grids import Grid, load_grid
from harness.launch import pool, retrain
from harness.launch.display import TURNS, Display
from harness.launch.engines.local import Local
from harness.launch.estimate import estimate
from harness.ledger import Cell, Claim, Ledger

THOUSAND = f"""
[axes]
"noise.rate" = [0.0, 0.2, 0.4, 0.6, 0.8]
seed = {list(range(50))}
[axes.method.crcl]
method = {{ name = "crcl", pieces = [2, 2], freeze_epochs = 1 }}
[axes.method.rcl]
method.name = "rcl"
schedule.epochs = 4
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 4
[axes.method.triplet]
method.name = "triplet"
schedule.epochs = 4
"""
STEPS = 128  # of a cell over the toy data
# Packages that no plan needs; each takes from a tenth of a second to several to import.
NEEDLESS = {"torch._dynamo", "torch._inductor", "transformers", "sklearn", "scipy", "nltk", "pandas", "matplotlib"}
NEEDLESS |= {"torch", "mlflow", "optuna", "ray", "submitit"}
# Claims its cell as a worker does and tells its cell each time that it trains.
WORKER = (
    IMPORTABLE
    + """
import sys, time
from pathlib import Path
from harness.ledger import Cell, Claim
from ledger_toys import a_result

cell = Cell(Path(sys.argv[1]))
claim = Claim.take(cell.folder)
if claim is None:
    sys.exit(3)
if cell.state() != "done":
    with open(cell.path("trained.txt"), "a") as file:
        file.write("once\\n")
    time.sleep(0.05)
    cell.write_result(a_result(seconds=10.0, steps=128))
claim.release()
"""
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    return load_grid(write_grid(tmp_path_factory.mktemp("grid"), THOUSAND))


def begin(grid: Grid, runs: Path, *, done: int, data: Path | None = None) -> list[Cell]:
    """The grid's cells in a ledger, the first `done` of them done; on what lies in the folder `data`."""
    about = a_dataset(digest=open_dataset("toy", data).digest()) if data else a_dataset()
    cells = []
    for number, planned in enumerate(grid.cells):
        cell = Ledger(runs).cell(planned.fingerprint)
        cell.folder.mkdir(parents=True)
        cell.path("spec.json").write_text(json.dumps(planned.entry(grid.name)))  # the ledger's own way syncs the disk
        if number < done:
            result = a_result(test={"full": {"rsum": 320.5}}, dataset=about, seconds=10.0, steps=STEPS)
            cell.path("result.json").write_text(json.dumps(result))
        cells.append(cell)
    return cells


def test_it_is_planned_in_seconds(grid: Grid, tmp_path: Path, toy_data: Path) -> None:
    begin(grid, tmp_path, done=500)
    plans, took = loops(lambda: estimate(load_grid(grid.path).cells, tmp_path, toy_data))
    assert took < 40  # of a tenth of a second each; were a file read for each pair of cells, hundreds
    assert Counter(plan.state for plan in plans) == {"done": 500, "waiting": 500}
    assert {plan.steps for plan in plans} == {STEPS}
    assert sum(plan.spent for plan in plans) == pytest.approx(5000)
    assert sum(plan.left or 0 for plan in plans) == pytest.approx(5000)


def seen(grid: Grid, runs: Path, data: Path) -> list[str]:
    """What `harness status` prints."""
    arguments = [str(grid.path), "--runs", str(runs), "--data", str(data)]
    return CliRunner().invoke(status.command, arguments, catch_exceptions=False).output.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["check", "status"])
def test_a_fresh_process_imports_no_more_than_a_plan_needs(verb: str, grid: Grid, tmp_path: Path) -> None:
    """Imports are most of what planning in a process of its own takes, and can be told without a clock."""
    cache = str(tmp_path / "cache")
    assert harness(verb, grid.path, cwd=tmp_path, XDG_CACHE_HOME=cache).returncode == 0  # reads the components once
    planned = harness(verb, grid.path, cwd=tmp_path, XDG_CACHE_HOME=cache, PYTHONPROFILEIMPORTTIME="1")
    assert planned.returncode == 0, planned.stderr[-2000:]
    assert len([line for line in planned.stdout.splitlines() if "waiting" in line and "seed=49" in line]) == 20
    imported = {line.rpartition("|")[2].strip() for line in planned.stderr.splitlines()}
    assert "numpy" in imported
    assert not imported & NEEDLESS


def test_its_finished_state_is_seen_in_seconds(grid: Grid, tmp_path: Path, toy_data: Path) -> None:
    begin(grid, tmp_path, done=1000, data=toy_data)
    lines, took = loops(lambda: seen(grid, tmp_path, toy_data))
    assert took < 45
    assert len(lines) == 1001
    assert all(line.startswith("done  ") and line.endswith("full rSum 320.5") for line in lines[:-1])
    assert lines[-1] == "toy: 1000 done; 2:46:40 of training"


def test_a_thousand_cells_of_other_data_are_seen_as_quickly(grid: Grid, tmp_path: Path, toy_data: Path) -> None:
    """The data are looked at once, not for each cell."""
    cells = begin(grid, tmp_path, done=1000)
    found, took = loops(lambda: retrain.find_others(cells, DataNow(toy_data)))
    assert took < 12
    assert len(found) == 1000
    lines = seen(grid, tmp_path, toy_data)
    assert all("trained on other data than" in line for line in lines[:1000])
    assert lines[-1].endswith(
        f"and 997 more; `harness run {grid.path} --retrain` trains them again and keeps what there is"
    )


def test_status_tells_where_since_when_and_what_is_left(grid: Grid, tmp_path: Path, toy_data: Path) -> None:
    cells = begin(grid, tmp_path, done=990, data=toy_data)
    claim = Claim.take(cells[990].folder)
    assert claim is not None
    cells[991].append_row(a_row(0, step=STEPS // 4, seconds=3.0))
    cells[991].path("checkpoint.pt").touch()
    cells[992].write_failure("the loss became nan", "", {})
    position = {"piece": 0, "pieces": 1, "epoch": 1, "epochs": 4, "step": 5, "steps": 32}
    claim.report(**position, seconds_left=90.0)
    try:
        until = time.monotonic() + 600
        while "epoch" not in cells[990].heartbeat():
            assert time.monotonic() < until
            time.sleep(0.05)
        lines = seen(grid, tmp_path, toy_data)
    finally:
        claim.release()
    assert lines[990].startswith("running     ")
    where = re.escape(socket.gethostname())
    assert re.search(rf"  {where} since \d{{4}}-\d\d-\d\d \d\d:\d\d \(0:\d\d\)  heartbeat 0:\d\d ago  ", lines[990])
    assert "epoch 2 of 4, step 5 of 32  1:30 left" in lines[990]
    assert lines[991].startswith("interrupted ")
    assert lines[992].endswith("the loss became nan")
    # 990 cells of 10 s and an epoch of 3 s; left are 90 s by the worker's word, 3 epochs of 2.5 s, 8 cells of 10 s.
    assert lines[-1] == (
        "toy: 990 done, 1 running, 1 interrupted, 1 failed, 7 waiting; 2:45:03 of training, "
        "about 2:58 left one after another"
    )


def test_a_launcher_looks_at_what_can_change(grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = begin(grid, tmp_path, done=600)
    display = Display(cells)
    looks: Counter[Cell] = Counter()
    look = Cell.state
    monkeypatch.setattr(Cell, "state", lambda cell: looks.update([cell]) or look(cell))
    running = {cells[700], cells[800]}
    display.update(running)
    assert looks.total() <= 2 + 400 // TURNS
    assert running <= set(looks)
    for _ in range(TURNS - 1):
        display.update(running)
    assert set(looks) == set(cells[600:])
    assert {looks[cell] for cell in running} == {TURNS}
    assert {looks[cell] for cell in cells[600:] if cell not in running} == {1}


@pytest.mark.slow
def test_four_launchers_train_no_cell_twice(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER)
    cells = begin(grid, tmp_path / "runs", done=976)
    monkeypatch.setattr(pool, "worker_command", lambda *_: lambda cell: [sys.executable, str(worker), str(cell.folder)])
    monkeypatch.setattr(pool, "ELSEWHERE", 0.3)

    def launch() -> None:
        states = pool.run_cells(cells, data=tmp_path, engine=Local(2))
        os._exit(0 if set(states.values()) == {"done"} else 1)

    launchers = [multiprocessing.get_context("fork").Process(target=launch) for _ in range(4)]
    for launcher in launchers:
        launcher.start()
    for launcher in launchers:
        launcher.join(120)
    assert [launcher.exitcode for launcher in launchers] == [0] * 4, capfd.readouterr()
    assert Counter(cell.state() for cell in cells) == {"done": 1000}
    trained = [cell.path("trained.txt") for cell in cells[976:]]
    assert [path.read_text() for path in trained] == ["once\n"] * 24
    assert not any(cell.path("trained.txt").exists() for cell in cells[:976])
