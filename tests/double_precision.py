"""A worker in float64: trains every cell of a ledger in turn, alone or under torchrun.

    python double_precision.py RUNS DATA

In float32, a bias before a normalisation has a gradient of rounding errors alone, which Adam divides by their own size:
two ways to add up the same numbers end in different weights. In float64 those errors are far below Adam's epsilon, so
what is left to compare is the arithmetic.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np
import torch

from harness.data import layout
from harness.distributed import joined, rank
from harness.ledger import Ledger
from harness.training import work
from harness.training.machine import Machine


def main(runs: Path, data: Path) -> None:
    torch.set_default_dtype(torch.float64)
    gather = layout.gather
    layout.gather = lambda regions, images: gather(regions, images).astype(np.float64)
    with joined():  # once: a process group is not made twice from one torchrun
        work.joined = contextlib.nullcontext  # type: ignore[attr-defined]
        for cell in Ledger(runs).cells():
            outcome = work.work(cell, data, Machine("cpu"))
            if rank() == 0:
                print(cell.name, outcome, (cell.failure() or {}).get("traceback", ""))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
