"""The loop of a sweep with workers that only pretend to train: what is killed continues, nothing is trained twice."""

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
from ledger_toys import IMPORTABLE
from test_search_declaration import BETA, write
from toy import wait_for

from harness.launch.engines.local import Local
from harness.ledger import Cell, Ledger, claim
from harness.search import TrialRow, load_sweep, read_sweep
from harness.search.launcher import RETRIES, Launcher
from harness.search.records import sweep_folder
from harness.search.study import Study

# Claims its cell as a worker does, writes a row for each of its epochs and continues at the row where it was stopped.
# Its dev rSum is 300 - 100 |beta - 0.6|, reached from below; under beta = 0.3 it is slow, and falls.
WORKER = (
    IMPORTABLE
    + """
import signal, socket, sys, time
from pathlib import Path
from harness.ledger import Cell, Claim
from ledger_toys import a_result, a_row

cell, pause = Cell(Path(sys.argv[1])), float(sys.argv[2])
claim = Claim.take(cell.folder)
if claim is None:
    sys.exit(3)
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
beta = cell.spec["run"]["method"]["beta"]
rsum = 300 - 100 * abs(beta - 0.6)
print("begun at", len(cell.rows()), flush=True)
for epoch in range(len(cell.rows()), 8):
    time.sleep(pause if beta > 0.3 else 10 * pause)
    dev = {"dev/rsum": rsum - 50 / (1 + epoch % 4) if beta > 0.3 else rsum - 10 * (epoch % 4)}
    cell.append_row(a_row(epoch, piece=epoch // 4, epoch_in_piece=epoch % 4, seconds=1.0, values=dev))
    cell.path("checkpoint.pt").touch()
    if stop:
        claim.release()
        sys.exit(130)
cell.write_result(a_result(dev={"rsum": rsum}, environment={"hostname": socket.gethostname()}))
claim.release()
print("done:", cell.name)
"""
)


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


def launch(spec: Path, runs: Path, worker: Path, *, trials: int, jobs: int = 2, pause: float = 0.01) -> list[TrialRow]:
    sweep = load_sweep(spec, trials=trials)
    study = Study(sweep, sweep_folder(sweep.name, runs))
    launcher = Launcher(sweep, study, Ledger(runs), Path("data"), engine=Local(jobs), jobs=jobs)
    launcher.pool.command = lambda cell: [sys.executable, str(worker), str(cell.folder), str(pause)]
    try:
        return launcher.run()
    finally:
        study.close()


def launched(*args: object, **options: object) -> multiprocessing.Process:
    """A launcher in a process of its own, as in another terminal."""
    process = multiprocessing.get_context("fork").Process(target=launch, args=args, kwargs=options)
    process.start()
    return process  # type: ignore[return-value]


def log(cell: Cell) -> list[str]:
    return [line for line in cell.path("log.txt").read_text().splitlines() if line.startswith(("begun", "done"))]


def running(runs: Path) -> list[Cell]:
    return [cell for cell in Ledger(runs).cells() if cell.state() == "running" and cell.rows()]


def kill_worker(cell: Cell) -> None:
    holder = claim.read(cell.folder)
    assert holder is not None
    os.kill(holder["pid"], signal.SIGKILL)


@pytest.mark.slow
def test_the_budget_is_trained_once_and_a_larger_one_continues(tmp_path: Path, worker: Path) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    first = launch(spec, runs, worker, trials=3)
    assert [(row.number, row.state) for row in first] == [(0, "COMPLETE"), (1, "COMPLETE"), (2, "COMPLETE")]
    assert first[0].parameters == {"method.beta": 0.8}
    assert first[0].value == pytest.approx(280)
    assert read_sweep("toy", runs).trials == first
    assert launch(spec, runs, worker, trials=3) == first
    more = launch(spec, runs, worker, trials=5)
    assert more[:3] == first
    assert len(more) == 5
    cells = list(Ledger(runs).cells())
    assert len(cells) == 5
    for cell in cells:
        assert log(cell) == ["begun at 0", f"done: {cell.name}"]
        assert (cell.spec["sweep"], cell.spec["grid"]) == ("toy", "toy")
        assert cell.spec["run"]["evaluation"]["protocols"] == []
        assert more[cell.spec["trial"]].fingerprint == cell.fingerprint
    assert list((sweep_folder("toy", runs) / "launchers").iterdir()) == []


def test_a_killed_worker_is_followed_by_one_that_continues(tmp_path: Path, worker: Path) -> None:
    runs = tmp_path / "runs"
    launcher = launched(write(tmp_path), runs, worker, trials=2, jobs=1, pause=0.15)
    wait_for(lambda: running(runs))
    [cell] = running(runs)
    kill_worker(cell)
    launcher.join(60)
    assert launcher.exitcode == 0
    first, second = log(cell)[:2]
    assert first == "begun at 0"
    assert int(second.removeprefix("begun at ")) >= 1
    assert [row["epoch"] for row in cell.rows()] == list(range(8))
    assert [row.state for row in read_sweep("toy", runs).trials] == ["COMPLETE"] * 2


def test_workers_that_always_die_fail_their_trial_and_not_the_sweep(tmp_path: Path, worker: Path) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        f"""
import os, sys
print("tried", flush=True)
if '"trial": 0' in open(sys.argv[1] + "/spec.json").read():
    os.kill(os.getpid(), 9)
os.execv(sys.executable, [sys.executable, {str(worker)!r}, *sys.argv[1:]])
"""
    )
    rows = launch(spec, runs, deadly, trials=2)
    assert [row.state for row in rows] == ["FAIL", "COMPLETE"]
    cell = Ledger(runs).cell(rows[0].fingerprint)
    assert cell.path("log.txt").read_text().count("tried") == 1 + RETRIES
    assert "the worker ended with signal 9" in (cell.failure() or {})["error"]
    assert launch(spec, runs, worker, trials=2) == rows  # a failed trial is not tried again by itself


def test_a_failure_that_a_worker_explains_is_not_tried_again(tmp_path: Path, worker: Path) -> None:
    failing = tmp_path / "failing.py"
    failing.write_text(
        "import sys\nfrom pathlib import Path\nfrom harness.ledger import Cell\n"
        "Cell(Path(sys.argv[1])).write_failure('the loss became nan', '', {})\nprint('begun')\nsys.exit(1)\n"
    )
    runs = tmp_path / "runs"
    [row] = launch(write(tmp_path), runs, failing, trials=1)
    assert row.state == "FAIL"
    assert log(Ledger(runs).cell(row.fingerprint)) == ["begun"]


@pytest.mark.parametrize("workers_too", [True, False])
def test_a_killed_launchers_trials_are_taken_over(tmp_path: Path, worker: Path, workers_too: bool) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    launcher = launched(spec, runs, worker, trials=3, pause=0.3)
    wait_for(lambda: len(running(runs)) == 2)
    held = running(runs)
    os.kill(launcher.pid or 0, signal.SIGKILL)
    launcher.join()
    if workers_too:
        for cell in held:
            kill_worker(cell)
    assert [row.state for row in read_sweep("toy", runs).trials] == ["RUNNING"] * 2
    rows = launch(spec, runs, worker, trials=3)
    assert [(row.number, row.state) for row in rows] == [(0, "COMPLETE"), (1, "COMPLETE"), (2, "COMPLETE")]
    assert {row.fingerprint for row in rows} >= {cell.fingerprint for cell in held}
    assert len(list(Ledger(runs).cells())) == 3
    for cell in held:
        begun = [line for line in log(cell) if line.startswith("begun")]
        assert len(begun) == (2 if workers_too else 1)  # the worker that lived on was waited for
        assert [row["epoch"] for row in cell.rows()] == list(range(8))


def test_a_living_launcher_takes_over_too(tmp_path: Path, worker: Path) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    doomed = launched(spec, runs, worker, trials=3, jobs=2, pause=0.4)
    wait_for(lambda: len(running(runs)) == 2)
    other = launched(spec, runs, worker, trials=3, jobs=1, pause=0.02)
    wait_for(lambda: len(read_sweep("toy", runs).trials) == 3)
    os.kill(doomed.pid or 0, signal.SIGKILL)
    for cell in running(runs):
        kill_worker(cell)
    other.join(60)
    assert other.exitcode == 0
    assert [row.state for row in read_sweep("toy", runs).trials] == ["COMPLETE"] * 3


@pytest.mark.slow
def test_two_launchers_train_no_cell_twice(tmp_path: Path, worker: Path) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    both = [launched(spec, runs, worker, trials=7, pause=0.02) for _ in range(2)]
    for launcher in both:
        launcher.join(120)
        assert launcher.exitcode == 0
    rows = read_sweep("toy", runs).trials
    assert [(row.number, row.state) for row in rows] == [(number, "COMPLETE") for number in range(7)]
    cells = list(Ledger(runs).cells())
    assert len(cells) == 7
    assert all(log(cell) == ["begun at 0", f"done: {cell.name}"] for cell in cells)


@pytest.mark.slow
def test_sigterm_stops_the_workers_and_the_same_command_continues(tmp_path: Path, worker: Path) -> None:
    spec, runs = write(tmp_path), tmp_path / "runs"
    launcher = launched(spec, runs, worker, trials=2, pause=0.3)
    wait_for(lambda: len(running(runs)) == 2)
    launcher.terminate()
    launcher.join(30)
    assert [cell.state() for cell in Ledger(runs).cells()] == ["interrupted"] * 2
    rows = launch(spec, runs, worker, trials=2)
    assert [row.state for row in rows] == ["COMPLETE"] * 2
    assert all(len(log(cell)) == 3 for cell in Ledger(runs).cells())


def test_the_same_values_share_a_cell(tmp_path: Path, worker: Path) -> None:
    space = '"method.beta" = { choices = [0.8, 0.6] }'
    runs = tmp_path / "runs"
    rows = launch(write(tmp_path, space, top='sampler = "random"'), runs, worker, trials=6, jobs=3)
    assert [row.state for row in rows] == ["COMPLETE"] * 6
    for row in rows:
        assert row.value == pytest.approx(300 if row.parameters["method.beta"] == 0.6 else 280)
    cells = list(Ledger(runs).cells())
    assert len(cells) == 2
    assert all(log(cell) == ["begun at 0", f"done: {cell.name}"] for cell in cells)


def test_values_that_do_not_go_together_fail_their_trial(tmp_path: Path, worker: Path) -> None:
    space = '"method.pieces" = { choices = [[2, 2], [3, 1]] }\n"method.freeze_epochs" = { choices = [0, 1] }'
    spec = write(tmp_path, space, top='sampler = "grid"\npaper = { "method.pieces" = [2, 2] }')
    rows = launch(spec, tmp_path / "runs", worker, trials=9)
    states = {tuple(row.parameters.values()): row.state for row in rows}
    assert states == {
        ("2-2", 0): "COMPLETE", ("2-2", 1): "COMPLETE", ("3-1", 0): "COMPLETE", ("3-1", 1): "FAIL"
    }  # fmt: skip


def test_a_hopeless_trial_is_pruned_by_its_last_piece(tmp_path: Path, worker: Path) -> None:
    top = 'sampler = "grid"\npruner = { name = "median", startup = 2, warmup = 0, patience = 0 }'
    space = '"method.beta" = { choices = [0.6, 0.61, 0.62, 0.0] }'
    spec = write(tmp_path, space, top=top + '\npaper = { "method.beta" = 0.6 }')
    runs = tmp_path / "runs"
    rows = launch(spec, runs, worker, trials=4, jobs=1, pause=0.12)  # an epoch longer than the launcher's look
    assert [row.state for row in rows[:2]] == ["COMPLETE"] * 2
    hopeless = rows[3]
    cell = Ledger(runs).cell(hopeless.fingerprint)
    assert hopeless.state == "PRUNED"
    wait_for(lambda: cell.state() == "interrupted")  # its checkpoint is written, it can be continued by hand
    assert cell.result() is None
    last = [row["values"]["dev/rsum"] for row in cell.rows() if row["piece"] == 1]
    assert 0 < len(last) < 4
    assert hopeless.value in [pytest.approx(value) for value in last]
    assert len(cell.rows()) >= 5  # the first piece, however bad, was not judged
    assert hopeless.seconds == pytest.approx(len(cell.rows()), abs=1)
    assert json.loads((sweep_folder("toy", runs) / "sweep.json").read_text())["asked"]["pruner"]["name"] == "median"


def test_trials_csv_tells_of_a_sweep_that_runs(tmp_path: Path, worker: Path) -> None:
    runs = tmp_path / "runs"
    launcher = launched(write(tmp_path, BETA), runs, worker, trials=1, pause=0.2)
    wait_for(lambda: running(runs))
    [row] = read_sweep("toy", runs).trials
    assert (row.state, row.value, row.parameters) == ("RUNNING", None, {"method.beta": 0.8})
    launcher.terminate()
    launcher.join(30)
