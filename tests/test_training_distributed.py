"""Two training processes of one run: the numbers of one process, one writer, one end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from synthetic import write_dataset
from toy import CRCL, TOY, wait_for, write_grid

from harness.data import Augmentation, open_dataset
from harness.data.batches import PairReader
from harness.errors import HarnessError
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training import checkpoint, machine
from harness.training.machine import Machine

BACKBONES = {
    "vse_infinity": "embed_dim = 16, word_dim = 8",
    "saf": "embed_dim = 16, word_dim = 8, sim_dim = 8, regions = 8, dropout = 0.0",
    "sgr": "embed_dim = 16, word_dim = 8, sim_dim = 8, regions = 8, dropout = 0.0",
}
METHODS = {
    "crcl": 'method = { name = "crcl", pieces = [2, 2], freeze_epochs = 1 }',
    "triplet": 'method = "triplet"\nschedule.epochs = 3',
}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """130 pairs: batches of 33 and a last one of 31, which two processes cannot share evenly."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy", {"train": 26, "dev": 11, "test": 10})
    return root


def add_cell(folder: Path, backbone: str, method: str) -> Cell:
    folder.mkdir(parents=True, exist_ok=True)
    axes = f'[axes]\n"noise.rate" = [0.4]\n[axes.method.m]\n{METHODS[method]}\n'
    text = TOY.replace('"vse_infinity", embed_dim = 16, word_dim = 8', f'"{backbone}", {BACKBONES[backbone]}')
    text = text.replace("batch_size = 32", "batch_size = 33")
    (folder / "toy.toml").write_text(text + axes)
    grid = load_grid(folder / "toy.toml")
    return Ledger(folder / "runs").add(grid.cells[0].entry(grid.name))


def python(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def trained(folder: Path, data: Path, *launcher: str) -> dict[str, Cell]:
    cells = {f"{b}_{m}": add_cell(folder, b, m) for b in BACKBONES for m in METHODS}
    done = python(*launcher, Path(__file__).parent / "double_precision.py", folder / "runs", data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(cell.state() == "done" for cell in cells.values()), done.stdout
    return cells


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Cell]:
    return trained(tmp_path_factory.mktemp("alone"), data)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, data: Path) -> dict[str, Cell]:
    return trained(tmp_path_factory.mktemp("together"), data, *TORCHRUN)


def result(cell: Cell) -> dict[str, Any]:
    found = cell.result()
    assert found is not None, cell.failure()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_two_processes_train_what_one_trains(
    alone: dict[str, Cell], together: dict[str, Cell], backbone: str, method: str
) -> None:
    one, two = (cells[f"{backbone}_{method}"] for cells in (alone, together))
    assert len(one.rows()) == {"crcl": 4, "triplet": 3}[method]
    for row, other in zip(one.rows(), two.rows(), strict=True):
        assert other["values"] == pytest.approx(row["values"], rel=1e-6)
    assert (result(one)["environment"]["processes"], result(two)["environment"]["processes"]) == (1, 2)
    for key in ("test", "dev", "best", "labels", "steps", "noise"):
        assert result(two)[key] == result(one)[key], key
    weights, others = (load_file(cell.path("model.safetensors")) for cell in (one, two))
    assert weights.keys() == others.keys()
    for name, values in weights.items():
        torch.testing.assert_close(others[name], values, rtol=0, atol=1e-8, msg=name)
    for name in ("labels.npy", "label_history.npy", "pairs.npz", "ranks.npz"):
        assert one.path(name).exists() == two.path(name).exists()
        if one.path(name).exists():
            for values, other in zip(arrays(one, name), arrays(two, name), strict=True):
                np.testing.assert_allclose(other, values, rtol=1e-5, err_msg=name)


def arrays(cell: Cell, name: str) -> list[np.ndarray]:
    found = np.load(cell.path(name))
    return list(found.values()) if name.endswith("npz") else [found]


@pytest.mark.slow
def test_what_ranks_exchange_is_what_one_process_computes(tmp_path: Path) -> None:
    done = python(*TORCHRUN, Path(__file__).parent / "two_ranks.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rank0", "rank1"]


def test_rows_of_a_batch_are_those_of_the_whole_one(data: Path) -> None:
    dataset = open_dataset("toy", data)
    split = dataset.split("train")
    reader = PairReader(
        split, split.image_of_caption[::-1].copy(), augmentation=Augmentation(token_rate=0.5),
        vocabulary=dataset.vocabulary,
    )  # fmt: skip
    pairs = np.arange(9) * 7
    whole = reader.read(pairs, np.random.default_rng(3))
    assert int(whole.region_lengths.min()) < 8  # something is dropped
    for rows in (slice(0, 5), slice(5, 9), slice(3, 4)):
        part = reader.read(pairs, np.random.default_rng(3), rows)
        assert part.pair_ids.equal(whole.pair_ids)
        for name in ("regions", "region_lengths", "tokens", "lengths"):
            assert getattr(part, name).equal(getattr(whole, name)[rows]), name
    assert len(reader.read(pairs, None, slice(5, 9)).regions) == 4


def test_a_device_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "world", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Machine("cpu").torch_device() == torch.device("cpu")
    with pytest.raises(HarnessError, match=r"--device cuda:1 with 2 processes: accepted: auto, cpu, or cuda"):
        Machine("cuda:1").torch_device()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(HarnessError, match=r"process 1 of this machine has no GPU of its own, 1 are visible; start"):
        Machine("cuda").torch_device()


# -- how a run of several processes ends -----------------------------------------------------------------------------


def new_cell(folder: Path) -> Cell:
    grid = load_grid(write_grid(folder, CRCL))
    return Ledger(folder / "runs").add(grid.cells[0].entry(grid.name))


def start(cell: Cell, data: Path, *options: object, processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "cell", cell.fingerprint, "--runs", cell.folder.parent, "--data", data]
    return subprocess.Popen(
        [*map(str, command), "--device", "cpu", "--processes", str(processes), *map(str, options)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(cell: Cell, data: Path, processes: int = 2) -> Cell:
    worker = start(cell, data, processes=processes)
    said, _ = worker.communicate(timeout=900)
    assert worker.returncode == 0, said
    return cell


def children(worker: subprocess.Popen[str]) -> list[int]:
    """The training processes by rank."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(worker.pid)], capture_output=True, text=True)
    places = {}
    for pid in map(int, found.stdout.split()):
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        places.update({int(word[5:]): pid for word in words if word.startswith(b"RANK=")})
    return [places[rank] for rank in sorted(places)]


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def outcome(cell: Cell) -> dict[str, Any]:
    rows = [{k: v for k, v in row.items() if k not in ("time", "seconds", "system")} for row in cell.rows()]
    files = {name: cell.path(name).read_bytes() for name in ("labels.npy", "label_history.npy", "model.safetensors")}
    return {"rows": rows, "files": files} | {
        key: result(cell)[key] for key in ("test", "dev", "best", "labels", "steps")
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> Cell:
    return finish(new_cell(tmp_path_factory.mktemp("undisturbed")), toy_data)


@pytest.mark.slow
def test_in_float32_losses_and_labels_agree(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    agree(finish(new_cell(tmp_path), toy_data, processes=1), undisturbed)


def agree(one: Cell, other: Cell) -> None:
    for row, its in zip(one.rows(), other.rows(), strict=True):
        losses, others = ([step for _, step in sorted(each["steps"])] for each in (row, its))
        assert len(losses) == len(others) > 0
        for values, compared in zip(losses, others, strict=True):
            assert compared == pytest.approx(values, rel=1e-4)
        assert its["values"]["train/loss"] == pytest.approx(row["values"]["train/loss"], rel=1e-4)
    labels = np.load(one.path("labels.npy"))
    assert labels.std() > 0.01
    np.testing.assert_allclose(np.load(other.path("labels.npy")), labels, atol=1e-4)


@pytest.mark.slow
def test_kill_9_in_mid_epoch_and_continued_with_two_changes_nothing(
    tmp_path: Path, toy_data: Path, undisturbed: Cell
) -> None:
    assert outcome(finish(killed(new_cell(tmp_path), toy_data), toy_data)) == outcome(undisturbed)


@pytest.mark.long
def test_kill_9_in_mid_epoch_and_continued_with_one(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    cell = finish(killed(new_cell(tmp_path), toy_data), toy_data, processes=1)
    assert result(cell)["environment"]["processes"] == 1
    agree(cell, undisturbed)


def killed(cell: Cell, data: Path) -> Cell:
    """Both processes and what started them, in the second epoch."""
    worker = start(cell, data, "--checkpoint-seconds", 0)
    wait_for(lambda: in_mid_epoch(cell))
    pids = children(worker)
    for pid in (worker.pid, *pids):
        os.kill(pid, signal.SIGKILL)
    worker.communicate()
    wait_for(lambda: gone(pids))
    assert cell.state() == "interrupted"
    return cell


def in_mid_epoch(cell: Cell) -> bool:
    try:
        saved = checkpoint.load(cell.path("checkpoint.pt"))
    except (HarnessError, OSError):
        return False
    return saved is not None and saved["position"]["epochs"] == 1 and saved["position"]["step"] > 3


@pytest.mark.long
@pytest.mark.parametrize("asked", ["all", "rank 1"])
def test_sigterm_stops_both_after_one_checkpoint(tmp_path: Path, toy_data: Path, undisturbed: Cell, asked: str) -> None:
    cell = new_cell(tmp_path)
    worker = start(cell, toy_data)
    wait_for(cell.rows)
    pids = children(worker)
    assert len(pids) == 2
    os.kill(worker.pid if asked == "all" else pids[1], signal.SIGTERM)
    said, _ = worker.communicate(timeout=900)
    assert worker.returncode == 130
    assert gone(pids)
    assert said.count("interrupted: ") == 1
    assert "Traceback" not in said
    assert cell.state() == "interrupted"
    saved = checkpoint.load(cell.path("checkpoint.pt"))
    assert saved is not None
    assert saved["state"]["label"].shape == (1000,)
    assert outcome(finish(cell, toy_data)) == outcome(undisturbed)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_is_no_failure(tmp_path: Path, toy_data: Path) -> None:
    cell = new_cell(tmp_path)
    worker = start(cell, toy_data)
    wait_for(cell.path("checkpoint.pt").exists)
    pids = children(worker)
    os.kill(pids[1], signal.SIGKILL)
    said, _ = worker.communicate(timeout=900)
    assert worker.returncode not in (0, 3)
    assert gone(pids)
    assert cell.state() == "interrupted", said
    assert "rank 0 has lost the others: " in said
    assert cell.failure() is None


@pytest.mark.long
def test_what_started_them_is_killed_and_they_stop_after_a_checkpoint(tmp_path: Path, toy_data: Path) -> None:
    cell = new_cell(tmp_path)
    worker = start(cell, toy_data)
    wait_for(cell.rows)
    pids = children(worker)
    worker.kill()
    worker.communicate(timeout=900)
    wait_for(lambda: gone(pids), 30)
    assert cell.state() == "interrupted"
    assert cell.path("checkpoint.pt").exists()


FAILING = """
from harness.cli import main
from harness.distributed import rank
from harness.training.trainer import Trainer

step = Trainer._step

def fail(self, *arguments):
    if rank() == 1 and self.at.steps == 5:
        raise ValueError("out of luck")
    step(self, *arguments)

Trainer._step = fail
main()
"""


@pytest.mark.slow
def test_a_failure_of_one_process_ends_both_and_is_told(tmp_path: Path, toy_data: Path) -> None:
    cell = new_cell(tmp_path)
    (tmp_path / "failing.py").write_text(FAILING)
    where = ("--runs", cell.folder.parent, "--data", toy_data, "--device", "cpu")
    ended = python(*TORCHRUN, tmp_path / "failing.py", "cell", cell.fingerprint, *where)
    assert ended.returncode == 1
    assert cell.state() == "failed"
    failure = cell.failure()
    assert failure is not None
    assert failure["error"] == "process 1 of 2: ValueError: out of luck"
    assert 'raise ValueError("out of luck")' in failure["traceback"]


@pytest.mark.slow
def test_held_and_done_end_every_process_with_their_status(tmp_path: Path, toy_data: Path, undisturbed: Cell) -> None:
    worker = start(undisturbed, toy_data)
    assert worker.communicate(timeout=900)[0] == f"already done: {undisturbed.name}\n"
    assert worker.returncode == 0
    cell = new_cell(tmp_path)
    holder = start(cell, toy_data, processes=1)
    wait_for(lambda: cell.state() == "running")
    holder.send_signal(signal.SIGSTOP)
    try:
        second = start(cell, toy_data)
        assert second.communicate(timeout=900)[0] == f"held: {cell.name}\n"
        assert second.returncode == 3
    finally:
        holder.kill()
        holder.communicate()


def test_an_unknown_cell_is_one_line(tmp_path: Path, toy_data: Path) -> None:
    new_cell(tmp_path)
    ended = python("-m", "harness", "cell", "nowhere", "--runs", tmp_path / "runs", "--processes", 2)
    assert ended.returncode == 2
    assert ended.stderr.count("no run is called 'nowhere'") == 1
