"""Cells on a real Slurm of two nodes: each is trained once, and comes to the same numbers whatever is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from slurm import Cluster, running_cluster
from toy import harness, trained, write_grid

from harness.ledger import Cell, Ledger, claim

pytestmark = pytest.mark.cluster

GRID = """
[axes]
"noise.rate" = [0.4]
seed = {seeds}
[axes.method.crcl]
method = {{ name = "crcl", pieces = [3, 3], freeze_epochs = 1 }}
"""
EPOCHS = 6  # of a cell: two pieces of three
PROFILE = """
[slurm]
partition = "all"
time = {time}
setup = ["export SET_UP=1"]
extra = {{ comment = "toy" }}
{more}
"""


def grid_of(folder: Path, *seeds: int) -> Path:
    return write_grid(folder, GRID.format(seeds=list(seeds)))


class Launch:
    """`harness run --launcher slurm`, as a user runs it, in one folder; its output in said.txt."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.begun: list[subprocess.Popen[bytes]] = []

    def __call__(self, grid: Path, *, jobs: int = 2, time: str = "10", more: str = "") -> subprocess.Popen[bytes]:
        profile = self.folder / "profile.toml"
        profile.write_text(PROFILE.format(time=time, more=more))
        command = ["run", str(grid), "--launcher", "slurm", "--profile", str(profile), "--jobs", str(jobs)]
        environment = {**self.cluster.environment, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
        with open(self.folder / "said.txt", "a") as said:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "harness", *command], cwd=self.folder, env=environment, stdout=said, stderr=said
            )
        self.begun.append(launcher)
        return launcher

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def ended(self, launcher: subprocess.Popen[bytes]) -> str:
        """What the launchers said, the last of which ended well."""
        assert launcher.wait(240) == 0, self.said()
        return self.said()

    def wait_for(self, happened: Callable[[], object], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < until, self.said()
            time.sleep(0.1)

    def in_the_middle(self) -> Cell:
        """A cell that runs, after its first epoch."""
        ledger = Ledger(self.folder / "runs")
        self.wait_for(lambda: any(cell.rows() for cell in ledger.cells()))
        return next(cell for cell in ledger.cells() if cell.rows())


@pytest.fixture
def launch(workplace: Path, slurm: Cluster) -> Iterator[Launch]:
    launch = Launch(workplace, slurm)
    yield launch
    for launcher in launch.begun:
        launcher.kill()
        launcher.wait()
    slurm.empty()


def nodes(cluster: Cluster) -> list[str]:
    """Of the jobs that run."""
    return cluster.ask("squeue", "--noheader", "--states=RUNNING", "--format=%N").split()


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Callable[[Path], None]:
    """Compares the cells of a ledger, all done, with the same ones trained by processes here and left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")

    def compare(grid: Path) -> None:
        ran = harness("run", grid, "--data", toy_data, "--jobs", "2", cwd=folder)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        cells = list(Ledger(grid.parent / "runs").cells())
        assert cells
        for cell in cells:
            other = Ledger(folder / "runs").cell(cell.fingerprint)
            result, expected = cell.result(), other.result()
            assert result is not None
            assert expected is not None
            for key in ("test", "dev", "best", "labels", "noise", "steps"):
                assert result[key] == expected[key], key
            np.testing.assert_array_equal(np.load(cell.path("labels.npy")), np.load(other.path("labels.npy")))
            assert [row["epoch"] for row in cell.rows()] == [row["epoch"] for row in other.rows()]
            assert [row["values"] for row in cell.rows()] == [row["values"] for row in other.rows()]

    return compare


def test_a_grid_ends_over_both_nodes_each_cell_once(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 0, 1, 2, 3)
    said = launch.ended(launch(grid))
    assert "4 of 4 cells done, 0 failed" in said
    cells = list(Ledger(workplace / "runs").cells())
    assert len(cells) == 4
    assert [trained(cell) for cell in cells] == [1] * 4
    listed = slurm.ask("sacct", "-X", "-n", "-P", "--format=JobID,NodeList,State").splitlines()
    jobs = [line.split("|") for line in listed]
    assert {state for _, _, state in jobs} == {"COMPLETED"}
    assert len({name.split("_")[0] for name, _, _ in jobs}) == 1  # one array job
    assert sorted(name.split("_")[1] for name, _, _ in jobs) == ["0", "1", "2", "3"]
    assert {node for _, node, _ in jobs} == {"n1", "n2"}
    assert not list((workplace / "runs" / ".slurm").iterdir())  # nothing is kept of jobs that ended well
    undisturbed(grid)


def test_a_killed_worker_is_followed_by_one_that_continues(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 0)
    launcher = launch(grid)
    cell = launch.in_the_middle()
    holder = claim.read(cell.folder)
    assert holder is not None
    os.kill(holder["pid"], signal.SIGKILL)
    said = launch.ended(launcher)
    assert re.search(
        r"again   .*the worker ended with signal 9 \(Slurm job \d+: COMPLETED\) before it could say why; "
        r"it continues \(1 of 3\)",
        said,
    )
    assert trained(cell) == 1
    undisturbed(grid)


def test_the_cells_of_a_dead_node_move_to_another(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 1)
    launcher = launch(grid)
    cell = launch.in_the_middle()
    [node] = nodes(slurm)
    slurm.kill_node(node)
    try:
        launch.wait_for(lambda: cell.state() == "interrupted")
        assert not cell.path("result.json").exists()
        launch.wait_for(lambda: slurm.hurry() or nodes(slurm) not in ([], [node]))
        said = launch.ended(launcher)
    finally:
        slurm.start_node(node)
    assert "again" not in said  # the job is the same: Slurm itself queued it again
    assert trained(cell) == 1
    undisturbed(grid)


def test_a_time_limit_is_met_by_a_checkpoint_and_the_job_continues(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 0)
    launcher = launch(grid, time='"0:02:00"', more="signal_seconds = 80")
    cell = launch.in_the_middle()
    holder = claim.read(cell.folder)
    assert holder is not None
    os.kill(holder["pid"], signal.SIGSTOP)  # so that it does not end before
    [log] = (workplace / "runs" / ".slurm").glob("*/*_log.out")
    launch.wait_for(lambda: "Calling checkpoint method" in log.read_text())
    os.kill(holder["pid"], signal.SIGCONT)
    launch.wait_for(lambda: cell.state() != "running")
    assert cell.state() == "interrupted"
    assert "interrupted: " in cell.path("log.txt").read_text()
    assert 1 <= len(cell.rows()) < EPOCHS
    launch.wait_for(lambda: slurm.hurry() or nodes(slurm))
    said = launch.ended(launcher)
    assert "again" not in said  # submitit itself queued the job again
    assert trained(cell) == 1
    assert [row["epoch"] for row in cell.rows()] == list(range(EPOCHS))
    undisturbed(grid)


def test_sigterm_stops_the_jobs_after_their_checkpoints_and_the_same_command_continues(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 0, 1)
    launcher = launch(grid, jobs=1)
    cell = launch.in_the_middle()
    launcher.terminate()
    assert launcher.wait(60) == 130
    assert slurm.ask("squeue", "--noheader") == ""
    waiting = next(other for other in Ledger(workplace / "runs").cells() if other.fingerprint != cell.fingerprint)
    assert (cell.state(), waiting.state()) == ("interrupted", "waiting")
    assert "interrupted: " in cell.path("log.txt").read_text()  # by the worker itself, after its checkpoint
    assert len(cell.rows()) < EPOCHS
    launch.ended(launch(grid))
    assert [trained(cell), trained(waiting)] == [1, 1]
    undisturbed(grid)


def test_the_jobs_of_a_killed_launcher_run_on_and_another_trains_nothing_twice(
    workplace: Path,
    launch: Launch,
    slurm: Cluster,
    undisturbed: Callable[[Path], None],
) -> None:
    grid = grid_of(workplace, 1)
    launcher = launch(grid)
    cell = launch.in_the_middle()
    holder = claim.read(cell.folder)
    launcher.kill()
    launcher.wait()
    second = launch(grid)
    time.sleep(6)
    assert claim.read(cell.folder) == holder or cell.state() == "done"
    launch.ended(second)
    assert trained(cell) == 1
    undisturbed(grid)
