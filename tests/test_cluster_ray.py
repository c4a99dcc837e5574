"""Cells on a real Ray cluster of two nodes: each trained once, whatever dies, to the numbers of an undisturbed run."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import MARK, RayCluster, ray_cluster
from test_search_declaration import write as write_sweep
from test_training_resume import outcome
from toy import CRCL, harness, write_grid

from harness.ledger import Cell, Ledger, claim

pytestmark = pytest.mark.cluster

FOUR = CRCL.replace("[axes]", "[axes]\nseed = [0, 1, 2, 3]")
EPOCHS = 4  # of a cell: two pieces of two
QUICK = """
[axes]
seed = [0, 1, 2]
[axes.method.infonce]
method.name = "infonce"
schedule.epochs = 1
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> dict[str, Any]:
    """What each cell of FOUR comes to in a pool of local processes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "data").symlink_to(toy_data)
    ran = harness("run", write_grid(folder, FOUR), "--jobs", 2, cwd=folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return {cell.name: outcome(cell) for cell in Ledger(folder / "runs").cells()}


class Workplace:
    """A folder with the toy data and a grid, and `harness` in it, its workers on a cluster."""

    def __init__(self, folder: Path, cluster: RayCluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.environment = cluster.environment
        self.settings()

    def settings(self, **settings: object) -> None:
        lines = [f"{key} = {value}\n" for key, value in settings.items()]
        (self.folder / "profile.toml").write_text(f'[ray]\naddress = "{self.cluster.address}"\n' + "".join(lines))

    def launch(self, *arguments: object, profile: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        """A launcher in the background; what it says is in launcher.txt."""
        words = [
            "--launcher",
            "ray",
            *(["--profile", "profile.toml"] if profile else []),
            "--checkpoint-seconds",
            "0.5",
        ]
        with open(self.folder / "launcher.txt", "ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "harness", *map(str, arguments), *words], cwd=self.folder, stdout=said,
                stderr=said, stdin=subprocess.DEVNULL, start_new_session=True, env={**self.environment, **environment},
            )  # fmt: skip

    def run(self, text: str, *arguments: object, profile: bool = True, **environment: str) -> subprocess.Popen[bytes]:
        grid = write_grid(self.folder, text)
        return self.launch("run", grid, *arguments, profile=profile, **environment)

    def said(self) -> str:
        return (self.folder / "launcher.txt").read_text()

    def ended(self, launcher: subprocess.Popen[bytes], status: int = 0) -> None:
        assert launcher.wait(timeout=900) == status, self.said()

    def cells(self) -> list[Cell]:
        return list(Ledger(self.folder / "runs").cells())

    def in_mid_training(self, such: Callable[[Cell], bool] = lambda _: True) -> Cell:
        """Waits until such a cell is between its first epoch and its last, and gives it."""
        found: list[Cell] = []

        def there() -> bool:
            found[:] = [c for c in self.cells() if c.state() == "running" and 0 < len(c.rows()) < EPOCHS and such(c)]
            return bool(found)

        wait_for(there, self.said)
        return found[0]


@pytest.fixture
def workplace(tmp_path: Path, toy_data: Path, cluster: RayCluster) -> Workplace:
    (tmp_path / "data").symlink_to(toy_data)
    return Workplace(tmp_path, cluster)


def wait_for(happened: Callable[[], object], otherwise: Callable[[], object], seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, otherwise()
        time.sleep(0.02)


def nodes_of(cell: Cell) -> list[str]:
    """The node of each worker that the cell had, in order."""
    lines = cell.path("log.txt").read_text().splitlines()
    return [line.rpartition(" ")[2] for line in lines if line.startswith("ray: ")]


def interruptions(cell: Cell) -> int:
    """How many of its workers ended after a checkpoint."""
    return cell.path("log.txt").read_text().count("interrupted: ")


def holder(cell: Cell) -> int:
    """The process that trains the cell."""
    found = claim.read(cell.folder)
    assert found is not None
    return int(found["pid"])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_up(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check(cells: list[Cell], undisturbed: dict[str, Any]) -> None:
    """Each of these cells was trained once, every epoch of it once, and bit for bit as on one quiet machine."""
    for cell in cells:
        assert cell.state() == "done", (cell.name, cell.failure())
        assert [row["epoch"] for row in cell.rows()] == list(range(EPOCHS))
        lines = cell.path("log.txt").read_text().splitlines()
        assert sum(line.startswith("done: ") for line in lines) == 1
        assert outcome(cell) == undisturbed[cell.name]


def test_a_grid_is_trained_on_both_nodes_each_cell_once(workplace: Workplace, undisturbed: dict[str, Any]) -> None:
    workplace.ended(workplace.run(FOUR, "--jobs", 4))
    assert "4 of 4 cells done, 0 failed" in workplace.said()
    cells = workplace.cells()
    check(cells, undisturbed)
    assert all(len(nodes_of(cell)) == 1 for cell in cells)
    assert {node for cell in cells for node in nodes_of(cell)} == set(workplace.cluster.alive())


def test_a_process_that_is_killed_is_followed_by_another(workplace: Workplace, undisturbed: dict[str, Any]) -> None:
    launcher = workplace.run(FOUR, "--only", "seed=0", "--only", "seed=1", "--jobs", 2)
    one = workplace.in_mid_training()
    os.kill(holder(one), signal.SIGKILL)
    other = workplace.in_mid_training(lambda cell: cell.name != one.name)
    os.kill(parent(holder(other)), signal.SIGKILL)  # the process of Ray that runs the task
    workplace.ended(launcher)
    how = "its Ray process (The worker died unexpectedly while executing this task)"
    assert f"again   {one.name}  the worker ended with signal 9 before" in workplace.said()
    assert f"again   {other.name}  the worker ended with {how} before" in workplace.said()
    assert interruptions(one) == 0
    assert interruptions(other) == 1  # it had time for its checkpoint
    assert [len(nodes_of(cell)) for cell in (one, other)] == [2, 2]
    check([one, other], undisturbed)


def test_the_cells_of_a_node_that_is_killed_move(workplace: Workplace, undisturbed: dict[str, Any]) -> None:
    launcher = workplace.run(FOUR, "--jobs", 4)
    head = workplace.cluster.head
    moved = workplace.in_mid_training(lambda cell: nodes_of(cell) != [head])
    try:
        workplace.cluster.kill_node(1)
        workplace.ended(launcher)
    finally:
        workplace.cluster.start_node()
    lost, *then = nodes_of(moved)
    assert lost != head
    assert then == [head]
    assert f"again   {moved.name}" in workplace.said()
    check(workplace.cells(), undisturbed)


def test_a_launcher_that_ends_leaves_checkpoints_and_the_next_continues(
    workplace: Workplace, undisturbed: dict[str, Any]
) -> None:
    chosen = ("--only", "seed=2", "--only", "seed=3", "--jobs", 2)
    for number, status in [(signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]:
        launcher = workplace.run(FOUR, *chosen)
        stopped = workplace.in_mid_training()
        before = interruptions(stopped)
        workers = [holder(cell) for cell in workplace.cells() if cell.state() == "running"]
        launcher.send_signal(number)
        workplace.ended(launcher, status)
        wait_for(lambda workers=workers: not any(map(is_up, workers)), workplace.said, 20)
        assert stopped.state() == "interrupted"
        assert interruptions(stopped) == before + 1
    workplace.ended(workplace.run(FOUR, *chosen))
    check(workplace.cells(), undisturbed)


def test_two_cells_share_a_gpu(workplace: Workplace) -> None:
    workplace.settings(gpus=0.5, cpus=0.5)
    launcher = workplace.run(QUICK, "--jobs", 3)
    most, seen = 0, set()
    while launcher.poll() is None:
        running = [cell for cell in workplace.cells() if cell.state() == "running"]
        most = max(most, len(running))
        for cell in running:
            seen.add((cell.fingerprint, *visible_to(cell)))
        time.sleep(0.05)
    workplace.ended(launcher)
    cells = workplace.cells()
    assert most == 2
    assert seen == {(cell.fingerprint, "0", "1") for cell in cells}
    assert {node for cell in cells for node in nodes_of(cell)} == set(workplace.cluster.alive()) - {
        workplace.cluster.head
    }


def visible_to(cell: Cell) -> tuple[str | None, str | None]:
    """CUDA_VISIBLE_DEVICES and OMP_NUM_THREADS of the process that trains it."""
    try:
        lines = Path(f"/proc/{holder(cell)}/environ").read_text().split("\0")
    except (AssertionError, OSError):
        return "0", "1"  # it has just ended
    environment = dict(line.partition("=")[::2] for line in lines)
    return environment.get("CUDA_VISIBLE_DEVICES"), environment.get("OMP_NUM_THREADS")


def test_a_cell_that_fits_on_no_node_is_told(workplace: Workplace) -> None:
    workplace.settings(cpus=3, resources="{ a100 = 1 }")
    launcher = workplace.run(QUICK, "--only", "seed=0")
    line = (
        "warning: ray: a cell needs CPU 3, a100 1, and no node has so much; nodes here: CPU 2, GPU 0, a100 0; "
        "CPU 2, GPU 1, a100 0; cells wait until a larger one joins"
    )
    wait_for(lambda: line in workplace.said(), workplace.said)
    launcher.terminate()
    workplace.ended(launcher, 130)
    assert [cell.state() for cell in workplace.cells()] == ["waiting"]


def test_ctrl_c_ends_a_cluster_of_the_launchers_own(workplace: Workplace) -> None:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        own = RayCluster(Path(folder))
        launcher = workplace.run(
            FOUR, "--only", "seed=0", profile=False, RAY_TMPDIR=folder, RAY_AUTH_TOKEN=own.token, **{MARK: folder}
        )
        try:
            cell = workplace.in_mid_training()
            os.killpg(launcher.pid, signal.SIGINT)  # what a terminal does
            workplace.ended(launcher, 130)
            assert cell.state() == "interrupted"
            assert "Traceback" not in workplace.said()
            wait_for(lambda: not own.processes(), own.processes, 20)
        finally:
            own.stop()


def test_a_sweep_tries_its_trials_on_the_cluster(workplace: Workplace) -> None:
    sweep = write_sweep(workplace.folder)
    workplace.ended(workplace.launch("sweep", sweep, "--trials", 2, "--jobs", 2))
    cells = workplace.cells()
    assert len(cells) == 2
    assert all(cell.state() == "done" and len(nodes_of(cell)) == 1 for cell in cells)
    assert "2 trials, 2 complete" in workplace.said()


# A worker that does not listen, and the launcher's two ways to end it; and one whose folder its node does not see.
DEAF = """
import signal, sys, time
from pathlib import Path
from harness.errors import HarnessError
from harness.launch.engines import ENGINES
from harness.ledger import Cell

code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
engine = ENGINES["ray"](1, address=sys.argv[1])
cell = Cell(Path(sys.argv[2]))
worker = engine.start([cell], lambda cell: [sys.executable, "-c", code])[cell]
while not (cell.path("log.txt").exists() and "deaf" in cell.path("log.txt").read_text()):
    time.sleep(0.1)
worker.stop()
print(worker.wait(1.5), worker.poll())
worker.kill()
print(worker.wait(20), worker.poll(), worker.why())
unseen = Cell(cell.path("unseen"))
try:
    engine.start([unseen], lambda cell: ["true"])[unseen].wait(20)
except HarnessError as error:
    print(error)
engine.close()
"""


def test_a_worker_that_does_not_stop_is_killed_and_one_that_cannot_start_is_told(
    tmp_path: Path, cluster: RayCluster
) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DEAF, cluster.address, str(tmp_path)], env=cluster.environment, capture_output=True,
        text=True, timeout=900,
    )  # fmt: skip
    killed, told = ran.stdout.splitlines()[:2], ran.stdout.splitlines()[2:]
    assert killed == ["False None", "True -9 signal 9"], ran.stderr
    assert len(told) == 1
    assert told[0].startswith(f"ray: node {socket.gethostname()} does not see {tmp_path / 'unseen'}; the folder of")
