"""Runs as tables: a row for each run and protocol, or for each run and epoch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import MEASURES
from harness.grids import load_grid
from harness.grids.rooms import declarations
from harness.ledger import Cell, Ledger
from harness.ledger.command import SMALL
from harness.spec import RunSpec
from harness.tracking.records import flatten

PLACE = ("epoch", "piece", "epoch_in_piece", "step", "seconds")  # of a row of metrics.jsonl
_UNKNOWN: dict[str, float | None] = dict.fromkeys(MEASURES)


def runs(folder: str | Path = "runs", *, grid: str | Path | None = None) -> pd.DataFrame:
    """Every run of a ledger, finished or not: a row for each run and test protocol.

    Args:
        folder: the runs folder.
        grid: only its runs: those that were first made for a grid of this name, and those of the file of that name in
            experiments/, or at this path, as it is now. None: all.

    Returns:
        By column:

        - `fingerprint`, `grid`, `cell` (the run's name in its grid), `state` (waiting, running, interrupted, failed or
          done);
        - every setting by its dotted key: `dataset`, `seed`, `method.name`, `method.beta`, `schedule.lr`, ...; a list
          is a tuple, so that one can group by it; a setting that a run does not have is missing;
        - `protocol`, and the metrics of the selected network under it, `test.i2t_r1`, ..., `test.rsum`: recalls in
          percent, rSum their sum, ranks counted from 1;
        - `dev.rsum`, ...: the same on dev, which has one protocol;
        - `labels.auc`, ...: the quality of the correspondence labels, where the noise is synthetic;
        - `realised_rate` (share of wrong training pairs), `seconds` (of training), `steps`, `finished` (UTC), `device`,
          `dataset_digest`: figures of two digests are not comparable.

        A run that is not finished has one row, its figures NaN.

    Raises:
        HarnessError: there are no runs, or none of this grid; a cell's file is damaged.
    """
    settings, figures = [], []
    for cell in _cells(Path(folder), grid):
        about = _about(cell)
        for row in _figures(cell):
            settings.append(about)
            figures.append(row)
    return pd.concat([pd.DataFrame(settings), pd.DataFrame(figures)], axis=1)


def curves(folder: str | Path = "runs", *, grid: str | Path | None = None) -> pd.DataFrame:
    """The epochs of every run of a ledger: a row for each run and epoch. A run without an epoch yet has none.

    Args:
        folder, grid: as for `runs`.

    Returns:
        By column: `fingerprint` to the settings, as in `runs`; `epoch`, counted from 0 over the whole run; `piece` and
        `epoch_in_piece`; `step`, optimiser steps so far; `seconds` that the epoch took; and what was measured, such as
        `train.loss` (mean over its steps), `dev.rsum`, `labels.auc`.

    Raises:
        HarnessError: as for `runs`.
    """
    return _curves(_cells(Path(folder), grid))


def curves_of(cell: Cell) -> pd.DataFrame:
    """The rows of `curves` for one run."""
    return _curves([cell])


def _curves(cells: list[Cell]) -> pd.DataFrame:
    settings, epochs = [], []
    for cell in cells:
        about = _about(cell)
        for row in cell.rows():
            settings.append(about)
            epochs.append({key: row[key] for key in PLACE} | _dotted(row["values"]))
    return pd.concat([pd.DataFrame(settings), pd.DataFrame(epochs, columns=None if epochs else list(PLACE))], axis=1)


def _cells(root: Path, grid: str | Path | None) -> list[Cell]:
    """The cells of a ledger, or those of a grid."""
    cells = list(Ledger(root).cells())
    if not cells:
        raise HarnessError(f"{root}: holds no runs; accepted: a folder that `harness run` has written to")
    if grid is None:
        return cells
    name, declared = Path(grid).stem, _declared(str(grid))
    found = [cell for cell in cells if cell.spec["grid"] == name or cell.fingerprint in declared]
    if not found:
        raise HarnessError(f"{root}: no run is of grid {name!r}; {suggest(name, {c.spec['grid'] for c in cells})}")
    return found


def _declared(grid: str) -> set[str]:
    """Fingerprints of a grid's cells as its file has them now: a cell that two grids share is kept under the first's
    name. Empty where there is no such file."""
    file = grid.removesuffix(SMALL)
    if not file.endswith(".toml") and file not in declarations("experiments"):
        return set()
    return {cell.fingerprint for cell in load_grid(file, smoke=grid != file).cells}


def _about(cell: Cell) -> dict[str, Any]:
    run = RunSpec.from_table(cell.spec["run"]).table()
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in flatten(run)}
    return {
        "fingerprint": cell.fingerprint, "grid": cell.spec["grid"], "cell": cell.name, "state": cell.state(), **settings
    }  # fmt: skip


def _figures(cell: Cell) -> Iterator[dict[str, Any]]:
    """A row for each protocol; one where test was not asked for (a trial of a search), or nothing is there yet."""
    result = cell.result()
    if result is None:
        yield {**_dotted(_UNKNOWN, "test."), **_dotted(_UNKNOWN, "dev.")}
        return
    shared = {
        **_dotted(result["dev"] or {}, "dev."), **_dotted(result["labels"]),
        "realised_rate": result["noise"]["realised_rate"], "seconds": result["seconds"], "steps": result["steps"],
        "finished": result["finished"], "device": result["environment"].get("device"),
        "dataset_digest": result["dataset"]["digest"],
    }  # fmt: skip
    for protocol, metrics in result["test"].items():
        yield {"protocol": protocol, **_dotted(metrics, "test."), **shared}
    if not result["test"]:
        yield shared


def _dotted(metrics: dict[str, float | None], prefix: str = "") -> dict[str, float]:
    """Metrics as columns: `dev/rsum` is `dev.rsum`, None is NaN."""
    return {
        prefix + name.replace("/", "."): float("nan") if value is None else value for name, value in metrics.items()
    }
