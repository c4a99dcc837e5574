"""Cells as a mirror finds them: begun, finished, held, with rows and results of pretended runs."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness.ledger import Cell, Ledger

BEGIN = 1_700_000_000.0  # unix seconds


def make_cell(runs: Path, fingerprint: str = "f" * 16, *, grid: str = "toy", seed: int = 0, **more: Any) -> Cell:
    run = {
        "dataset": "twemoji",
        "noise": {"name": "caption_level", "rate": 0.4},
        "backbone": {"name": "vse_infinity", "embed_dim": 64},
        "method": {"name": "crcl", "beta": 0.8, "pieces": [3, 4]},
        "augmentation": None,
        "schedule": {"epochs": None, "lr": 5e-4},
        "evaluation": {"selection": "best_dev_rsum"},
        "seed": seed,
    }
    labels = {"method": "crcl", "noise.rate": 0.4, "seed": seed}
    name = f"crcl noise.rate=0.4 seed={seed}"
    return Ledger(runs).add(
        {"fingerprint": fingerprint, "grid": grid, "cell": name, "labels": labels, "run": run, **more}
    )


def row(epoch: int, *, at: float | None = None, steps: int = 2) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "piece": 0,
        "epoch_in_piece": epoch,
        "step": 10 * (epoch + 1),
        "time": BEGIN + 60 * (epoch + 1) if at is None else at,
        "seconds": 60.0,
        "values": {"train/loss": 5.0 - epoch, "dev/rsum": 100.0 + epoch, "labels/auc": None},
        "steps": [[10 * epoch + 5 * i, {"step/loss": 1.0 * i}] for i in range(steps)],
    }


def result(protocols: tuple[str, ...] = ("full",)) -> dict[str, Any]:
    metrics = {"i2t_r1": 40.0, "rsum": 300.0}
    return {
        "fingerprint": "f" * 16,
        "finished": "2023-11-14T22:33:20+00:00",
        "selection": "best_dev_rsum",
        "best": {"piece": 0, "epoch": 1, "epochs": 1, "dev/rsum": 101.0},
        "test": dict.fromkeys(protocols, metrics),
        "dev": {"rsum": 101.0},
        "labels": {"labels/auc": 0.9},
        "noise": {"realised_rate": 0.4, "sha256": "ab" * 32},
        "dataset": {"name": "twemoji", "digest": "cd" * 32, "images": 10, "pairs": 50},
        "environment": {"python": "3.11", "device": "cpu", "git_commit": "abc123"},
        "seconds": 120.0,
        "steps": 20,
    }


def hold(cell: Cell) -> None:
    """A claim by this living process."""
    claim = {
        "token": "t",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.time(),
        "started": None,
    }
    cell.path("claim.json").write_text(json.dumps(claim))


def finish(cell: Cell, what: dict[str, Any]) -> None:
    cell.path("claim.json").unlink(missing_ok=True)
    np.save(cell.path("labels.npy"), np.ones(50, np.float32))
    cell.write_result(what)
