"""Grids over the toy dataset of tests/synthetic.py, small enough to train in a second or two."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.grids import load_grid
from harness.ledger import Cell, Ledger
from harness.training import trainer
from harness.training.machine import Machine
from harness.training.stopping import Interrupted
from harness.training.work import work

TOY = """
title = "toy"
[run]
dataset = "toy"
noise = "caption_level"
backbone = { name = "vse_infinity", embed_dim = 16, word_dim = 8 }
schedule = { batch_size = 32, lr = 2e-3 }
augmentation = { token_rate = 0.2, region_rate = 0.2 }
"""

CRCL = """
[axes]
"noise.rate" = [0.4]
[axes.method.crcl]
method = { name = "crcl", pieces = [2, 2], freeze_epochs = 1 }
"""


def write_grid(folder: Path, text: str, name: str = "toy") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(TOY + text)
    return path


def harness(
    *arguments: object, cwd: Path, timeout: float = 1800, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own, as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        timeout=timeout, env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160", **environment},
    )  # fmt: skip


def wait_for(happened: Callable[[], object], seconds: float = 900) -> None:
    """Look until it has happened; an error after so long."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)


def trained(cell: Cell) -> int:
    """How many workers say that they trained the cell; one that came too late says `already done:`."""
    return sum(line.startswith("done: ") for line in cell.path("log.txt").read_text().splitlines())


def finished(folder: Path, text: str, data: Path) -> Cell:
    """The only cell of a grid, trained in this process."""
    [planned] = load_grid(write_grid(folder, text)).cells
    cell = Ledger(folder / "runs").add(planned.entry("toy"))
    assert work(cell, data, Machine()) == "done", cell.failure()
    return cell


def begun(folder: Path, text: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """The only cell of a grid, stopped after its second epoch, with a checkpoint, rows and a history."""
    [planned] = load_grid(write_grid(folder, text)).cells
    cell = Ledger(folder / "runs").add(planned.entry("toy"))
    finish = trainer.Trainer._finish_epoch

    def stop_after_the_second(self: trainer.Trainer) -> None:
        finish(self)
        if self.at.epochs == 2:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_finish_epoch", stop_after_the_second)
        assert work(cell, data, Machine()) == "interrupted"
    return cell
