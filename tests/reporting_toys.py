"""A toy grid, toy results and a toy report; no data, no training."""

from pathlib import Path
from typing import Any

import numpy as np

from harness.grids import Grid, PlannedCell, load_grid
from harness.ledger import Ledger

GRID = """
title = "toy"
[run]
dataset = "DATASET"
noise = "NOISE"
backbone = { name = "vse_infinity", embed_dim = 32, word_dim = 32 }
[axes]
"noise.rate" = [0.0, 0.4, 0.8]
seed = [0, 1, 2]
[axes.method]
triplet = { method = "triplet", schedule = { epochs = 1 } }
crcl = { method = { name = "crcl", pieces = [2, 2], freeze_epochs = 1 } }
"""

REPORT = """
title = "Toy & 100 % honest"
grids = ["GRID"]
rows = ["noise.rate", "method"]
metrics = ["i2t_r1", "rsum"]
protocol = "1k"
[values.method]
triplet = "Triplet"
crcl = "CRCL_x"
[figure]
highlight = "crcl"
"""

RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10")


def make_grid(folder: Path, *, dataset: str = "twemoji", noise: str = "caption_level") -> Grid:
    path = folder / "toy.toml"
    path.write_text(GRID.replace("DATASET", dataset).replace("NOISE", noise))
    return load_grid(path)


def make_report(folder: Path, more: str = "", **changes: str) -> Path:
    """The toy report with `more` at its end and every KEY's line replaced by `KEY = VALUE`."""
    lines = REPORT.replace("GRID", str(folder / "toy.toml")).splitlines()
    for key, value in changes.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines]
    path = folder / "toy_report.toml"
    path.write_text("\n".join(lines) + "\n" + more)
    return path


def rsum_of(cell: PlannedCell) -> float:
    """A made-up truth: CRCL loses 100 from clean to pure noise, the triplet loss 300; seeds are 3 apart."""
    loses = 100 if cell.place["method"] == "crcl" else 300
    return float(400 - loses * cell.place["noise.rate"] + 3 * cell.place["seed"])


def train(ledger: Ledger, cell: PlannedCell, *, protocol: str = "1k", rsum: float | None = None) -> None:
    """Pretend that a cell was trained: every recall is a sixth of rSum, dev one more than test."""
    rsum = rsum_of(cell) if rsum is None else rsum
    test: dict[str, Any] = {**dict.fromkeys(RECALLS, rsum / 6), "rsum": rsum, "i2t_medr": 2.0}
    result = {
        "fingerprint": cell.fingerprint,
        "finished": "2023-11-14T22:33:20+00:00",
        "selection": cell.run.evaluation.selection,
        "best": {"piece": 0, "epoch": 0, "epochs": 0, "dev/rsum": rsum + 1},
        "test": {protocol: test},
        "dev": {**test, "rsum": rsum + 1},
        "labels": {"labels/auc": 0.9},
        "noise": {"realised_rate": cell.run.noise.parameters.get("rate"), "sha256": "ab"},
        "dataset": {"name": cell.run.dataset, "digest": "cd", "images": 10, "pairs": 50},
        "environment": {"device": "cpu"},
        "seconds": 1.5,
        "steps": 3,
    }
    ledger.add(cell.entry("toy")).write_result(result)


def write_ranks(ledger: Ledger, cell: PlannedCell, hits: float, *, protocol: str = "1k", images: int = 200) -> None:
    """Ranks of a test split with one caption an image, of which the share `hits` of both ways is found first."""
    ranks = np.where(np.arange(images) < hits * images, 1, 100).astype(np.int32)
    arrays = {"i2t": ranks, "t2i": ranks, "image_of_caption": np.arange(images)}
    path = ledger.cell(cell.fingerprint).path("ranks.npz")
    np.savez(path, **{f"{protocol}/{name}": values for name, values in arrays.items()})


def write_pairs(ledger: Ledger, cell: PlannedCell, *, noisy: int = 2, labels: bool = True) -> None:
    """Ten training pairs whose similarity grows from 0 to 0.9; the last `noisy` of them are the wrong ones."""
    folder = ledger.cell(cell.fingerprint)
    similarity = np.arange(10, dtype=np.float32) / 10
    np.savez(folder.path("pairs.npz"), similarity=similarity, match=1 - similarity, clean=np.arange(10) < 10 - noisy)
    if labels:
        np.save(folder.path("labels.npy"), np.ones(10, dtype=np.float32))
