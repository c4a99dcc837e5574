"""Whole specs, rows and results of pretended runs, of which a test names what it cares for."""

import json
from pathlib import Path
from typing import Any

from harness.ledger import Cell

# The first line of a worker's script that is to import this file.
IMPORTABLE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"


def a_spec(fingerprint: str = "f" * 16, **changes: Any) -> dict[str, Any]:
    return {"fingerprint": fingerprint, "grid": "g", "cell": "crcl seed=0", "labels": {}, "run": {}, **changes}


def a_row(epoch: int, **changes: Any) -> dict[str, Any]:
    """A row of a run in one piece, of a minute and ten steps an epoch."""
    usual = {
        "epoch": epoch, "piece": 0, "epoch_in_piece": epoch, "step": 10 * (epoch + 1),
        "time": 1_700_000_000.0 + 60 * (epoch + 1), "seconds": 60.0, "values": {}, "steps": [],
    }  # fmt: skip
    return {**usual, **changes}


def a_result(**changes: Any) -> dict[str, Any]:
    """A result without figures."""
    usual = {
        "fingerprint": "f" * 16, "finished": "2023-11-14T22:33:20+00:00", "selection": "best_dev_rsum",
        "best": {"piece": 0, "epoch": 0, "epochs": 0, "dev/rsum": 300.0}, "dev": {"rsum": 300.0}, "test": {},
        "labels": {}, "noise": {"realised_rate": 0.4, "sha256": "ab" * 32},
        "dataset": a_dataset(),
        "environment": {"hostname": "here", "device": "cpu"}, "seconds": 8.0, "steps": 10,
    }  # fmt: skip
    return {**usual, **changes}


def a_dataset(**changes: Any) -> dict[str, Any]:
    """What a result says of its data."""
    return {"name": "toy", "digest": "cd" * 32, "images": 10, "pairs": 50, "test_is_dev": False, **changes}


def rewrite(cell: Cell, **changes: Any) -> None:
    """Change keys of a cell's result as an older version would have written it: without digests and seal."""
    result = {key: value for key, value in (cell.result() or {}).items() if key != "files"}
    cell.path("result.json").write_text(json.dumps({**result, **changes}))
