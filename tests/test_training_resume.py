"""Killed at any moment, a run ends with the numbers of one that never was."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy import CRCL, harness, write_grid

from harness.errors import HarnessError
from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training import checkpoint
from harness.training.machine import Machine
from harness.training.trainer import Trainer
from harness.training.work import work


def new_cell(folder: Path, text: str = CRCL) -> Cell:
    folder.mkdir(exist_ok=True)
    grid = load_grid(write_grid(folder, text))
    return Ledger(folder / "runs").add(grid.cells[0].entry(grid.name))


def start(cell: Cell, data: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "harness", "cell", cell.fingerprint, "--runs", str(cell.folder.parent)]
    return subprocess.Popen(
        [*command, "--data", str(data), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def outcome(cell: Cell) -> dict[str, Any]:
    """Everything that must be the same, whatever happened on the way."""
    result = cell.result()
    assert result is not None, cell.failure()
    rows = [{k: v for k, v in row.items() if k not in ("time", "seconds", "system")} for row in cell.rows()]
    return {
        "test": result["test"], "dev": result["dev"], "best": result["best"], "labels": result["labels"],
        "steps": result["steps"], "rows": rows,
        "label_values": np.load(cell.path("labels.npy")).tobytes(),
        "weights": {k: v.numpy().tobytes() for k, v in load_file(cell.path("model.safetensors")).items()},
    }  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, toy_data: Path) -> dict[str, Any]:
    cell = new_cell(tmp_path_factory.mktemp("undisturbed"))
    assert start(cell, toy_data).wait() == 0
    return outcome(cell)


def killed(cell: Cell, data: Path, when: Any) -> int:
    """Start a worker, kill -9 it when `when()` says so; its exit status."""
    worker = start(cell, data, "--checkpoint-seconds", "0")
    while worker.poll() is None and not when():
        time.sleep(0.002)
    worker.kill()
    return worker.wait()


@pytest.mark.parametrize(
    "epochs", [pytest.param(0, marks=pytest.mark.long), 1, pytest.param(3, marks=pytest.mark.long)]
)
def test_kill_9_in_mid_epoch_changes_nothing(
    tmp_path: Path, toy_data: Path, undisturbed: dict[str, Any], epochs: int
) -> None:
    cell = new_cell(tmp_path)

    def in_mid_epoch() -> bool:
        saved = cell.path("checkpoint.pt")
        if len(cell.rows()) < epochs or not saved.exists():
            return False
        try:
            state = checkpoint.load(saved)
        except (HarnessError, OSError):
            return False
        return state is not None and state["position"]["epochs"] == epochs and 3 < state["position"]["step"] < 30

    assert killed(cell, toy_data, in_mid_epoch) == -signal.SIGKILL
    assert cell.state() == "interrupted"
    assert start(cell, toy_data).wait() == 0
    assert outcome(cell) == undisturbed


def _written(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:  # not yet, or just now between two names
        return 0


def _some_time_after_a_new(file: Path, pause: float) -> Callable[[], bool]:
    before = _written(file)
    seen: list[float] = []

    def due() -> bool:
        if not seen and _written(file) > before:
            seen.append(time.monotonic())
        return bool(seen) and time.monotonic() - seen[0] > pause

    return due


@pytest.mark.long
def test_kill_9_again_and_again_changes_nothing(tmp_path: Path, toy_data: Path, undisturbed: dict[str, Any]) -> None:
    cell = new_cell(tmp_path)
    saved = cell.path("checkpoint.pt")
    deaths = 0
    for pause in (0.1, 0.4, 0.2, 0.6, 0.3):
        deaths += killed(cell, toy_data, _some_time_after_a_new(saved, pause)) == -signal.SIGKILL
    assert deaths >= 2
    assert start(cell, toy_data).wait() == 0
    assert outcome(cell) == undisturbed


@pytest.mark.slow
def test_sigterm_writes_a_checkpoint_first(tmp_path: Path, toy_data: Path, undisturbed: dict[str, Any]) -> None:
    cell = new_cell(tmp_path)
    worker = start(cell, toy_data)
    while len(cell.rows()) < 1:
        time.sleep(0.01)
    worker.terminate()
    assert worker.wait() == 130
    assert cell.state() == "interrupted"
    assert start(cell, toy_data).wait() == 0
    assert outcome(cell) == undisturbed


def test_a_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path: Path, toy_data: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"a": torch.ones(3), "n": 1})
    checkpoint.save(path, {"a": torch.zeros(3), "n": 2})
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert loaded["n"] == 2
    path.write_bytes(path.read_bytes()[:-7])
    loaded = checkpoint.load(path)
    assert loaded is not None
    assert loaded["n"] == 1
    checkpoint.previous(path).write_bytes(b"")
    with pytest.raises(HarnessError, match="every checkpoint of this cell is damaged"):
        checkpoint.load(path)


def test_other_data_under_a_begun_cell_are_refused(tmp_path: Path, toy_data: Path) -> None:
    cell = new_cell(tmp_path)
    assert killed(cell, toy_data, lambda: len(cell.rows()) >= 1) == -signal.SIGKILL
    saved = checkpoint.load(cell.path("checkpoint.pt"))
    assert saved is not None
    for what in saved["data"]:
        checkpoint.save(cell.path("checkpoint.pt"), {**saved, "data": {**saved["data"], what: "another"}})
        assert work(cell, toy_data, Machine()) == "failed"
        assert f"the {what} differ from those this cell was begun with" in (cell.failure() or {})["error"]


def test_a_loss_that_is_not_finite_fails_the_run_and_says_where(
    tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = new_cell(tmp_path)
    step = Trainer._step

    def poison(self: Trainer, *arguments: Any) -> None:
        if (self.at.piece, self.at.epoch, self.at.step) == (0, 1, 7):
            with torch.no_grad():
                next(self.networks[0].backbone.parameters()).fill_(float("nan"))
        step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", poison)
    assert work(cell, toy_data, Machine()) == "failed"
    failure = cell.failure()
    assert failure is not None
    assert "the loss became nan in piece 1, epoch 2, step 8;" in failure["error"]
    assert "Traceback" in failure["traceback"]
    assert cell.state() == "failed"


def test_labels_survive_a_new_piece_and_the_network_does_not(
    tmp_path: Path, toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Trainer, torch.Tensor, dict[str, torch.Tensor]]] = []
    next_phase = Trainer._next_phase

    def look(self: Trainer) -> None:
        before = self.state["label"].whole()
        next_phase(self)
        seen.append((self, before, {k: v.clone() for k, v in self.networks[0].backbone.state_dict().items()}))
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_next_phase", look)
    cell = new_cell(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work(cell, toy_data, Machine())
    trainer, labels, weights = seen[0]
    assert trainer.at.piece == 1
    assert labels.min() < 1
    assert torch.equal(trainer.state["label"].whole(), labels)
    assert trainer.networks[0].optimizers["main"].state_dict()["state"] == {}
    assert trainer.best.epochs == -1
    again = trainer._initialise(0).backbone.state_dict()  # the network of piece 1, drawn again
    assert all(torch.equal(weights[k], v) for k, v in again.items())
    trainer.at.piece = 0
    other = trainer._initialise(0).backbone.state_dict()
    assert not torch.equal(weights["image_pool.score.weight"], other["image_pool.score.weight"])


@pytest.mark.slow
def test_a_cell_that_somebody_holds_is_left_alone(tmp_path: Path, toy_data: Path) -> None:
    cell = new_cell(tmp_path)
    worker = start(cell, toy_data)
    while cell.state() != "running":
        time.sleep(0.01)
    second = harness("cell", cell.fingerprint, "--runs", cell.folder.parent, "--data", toy_data, cwd=tmp_path)
    assert second.returncode in (0, 3)
    assert ("held" in second.stdout) == (second.returncode == 3)
    assert worker.wait() == 0
