"""Searches over hyperparameters, on dev; the only import of optuna. `sweeps/*.toml` holds the declarations.

A trial is a cell of the ledger that scores no test split. Its worker, its checkpoint and its mirror are those of any
other cell; what is searched here is only which run to try next.
"""

from harness.search.declaration import Sweep, load_sweep
from harness.search.records import SweepRecord, TrialRow, read_sweep

__all__ = ["Sweep", "SweepRecord", "TrialRow", "load_sweep", "read_sweep"]
