"""Training the cells of a grid: what `harness run`, `harness train` and the functions of the same names share."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.grids import Grid, PlannedCell
    from harness.launch.budget import Budget
    from harness.ledger import Cell, Ledger


@dataclass(frozen=True)
class Ran:
    """How the cells of a grid stand after a launcher has worked on them.

    failed: those that failed, or whose worker was killed too often. later: those that a spent budget leaves. other: how
    many are done, but on other data or code than now.
    """

    states: "dict[Cell, str]"
    failed: "dict[Cell, str]"
    later: "dict[Cell, str]"
    other: int


def run_grid(
    grid: "Grid",
    *,
    runs: Path,
    data: Path,
    jobs: int = 1,
    processes: int = 1,
    launcher: str = "local",
    profile: Path | None = None,
    budget: float | None = None,
    retrain: bool = False,
    mirrors: Sequence[str] = ("mlflow",),
    machine: dict[str, Any],
) -> Ran:
    """Train the cells of a grid and score its ensembles, with progress on the terminal and every run in MLflow.

    Args:
        grid: finished cells are skipped, killed ones continue, failed ones are tried again.
        runs: folder of the cell folders.
        data: folder of the data sets.
        jobs: cells at once.
        processes: training processes of each cell.
        launcher: "local", "slurm" or "ray".
        profile: settings of the launchers.
        budget: seconds until the workers are stopped after a checkpoint. None: until all is done.
        retrain: train again the finished cells that are of other data or code than now.
        mirrors: where the runs are shown: "mlflow", "tensorboard", "wandb".
        machine: keywords of `Machine`, for the workers.

    Raises:
        HarnessError: data are missing, or a setting is not as above, before anything is trained.
    """
    from harness.data.now import DataNow
    from harness.launch import retrain as again
    from harness.launch.pool import machine_options, run_cells
    from harness.launch.prepare import prepare_data
    from harness.launch.profile import open_engine
    from harness.ledger import Ledger
    from harness.reporting.shown import EXTRAS
    from harness.tracking import Mirror

    # The workers of a cluster may have another device.
    here = machine if launcher == "local" else {**machine, "device": "auto"}
    _refuse_missing(here)
    engine = open_engine(launcher, jobs, profile)
    kept = Mirror(runs, targets=mirrors, grid=grid.name, extras=EXTRAS)
    prepare_data(grid.cells, data)
    ledger, now = Ledger(runs), DataNow(data)
    known = [ledger.cell(cell.fingerprint) for cell in grid.cells]
    others = again.find_others(known, now)
    if retrain:
        for other, path in again.move_aside([*others, *again.begun_on_others(known, now)]):
            print(f"again   {other.cell.name}  {other.why}; what there was is in {path}")
        others = again.find_others(known, now)
    for line in again.write_sentences(others, "the same command with --retrain"):
        print(line)
    cells = [ledger.add(cell.entry(grid.name)) for cell in grid.cells]
    worker_options = [*machine_options(machine), *(["--processes", str(processes)] if processes > 1 else [])]
    time = None if budget is None else _budget(budget, grid.cells, runs, data, jobs)
    update = kept.update
    with closing(engine), closing(kept):
        states = run_cells(cells, data=data, engine=engine, worker_options=worker_options, update=update, budget=time)
        for scored in _ensembles(grid, ledger, data, here):
            update([scored])
    if kept.complaint:
        print(f"warning: {kept.complaint}", file=sys.stderr)
    # A worker that was killed leaves its cell interrupted: no failure of the run, but not done either.
    failed = {cell: state for cell, state in states.items() if state != "done"}
    later = {}
    if time is not None and time.spent:
        later = {cell: state for cell, state in failed.items() if state != "failed"}
        failed = {cell: state for cell, state in failed.items() if state == "failed"}
    return Ran(states, failed, later, len(others))


def _refuse_missing(machine: dict[str, Any]) -> None:
    """A device that is not here is an error now, and not in every worker. Any machine has what "auto" stands for."""
    if machine.get("device", "auto") != "auto" or machine.get("cuda_graphs"):
        from harness.training.machine import Machine

        Machine(**machine).torch_device()


def _budget(seconds: float, cells: "list[PlannedCell]", runs: Path, data: Path, jobs: int) -> "Budget":
    from harness.launch.budget import Budget
    from harness.launch.display import clock
    from harness.launch.estimate import estimate
    from harness.printing.numbers import count

    plans = [plan for plan in estimate(cells, runs, data) if plan.state != "done"]
    budget = Budget.over_plans(seconds, plans)
    fit = budget.fitting([plan.cell.fingerprint for plan in plans], jobs)
    unknown = len(plans) - len(budget.left)
    words = f" ({unknown} without one)" if unknown else ""
    print(f"budget {clock(seconds)}: enough for {fit} of {count(len(plans), 'cell')}, by the estimate{words}")
    return budget


def _ensembles(grid: "Grid", ledger: "Ledger", data: Path, machine: dict[str, Any]) -> "Iterator[Cell]":
    """Score every ensemble whose members are done and comparable."""
    from harness.errors import HarnessError

    for name, team in grid.teams(grid.cells):
        members = [ledger.cell(cell.fingerprint) for cell in team]
        if all(member.state() == "done" for member in members):
            from harness.launch.ensemble import score_ensemble
            from harness.training.machine import Machine

            try:
                scored = score_ensemble(members, ledger, data, Machine(**machine), name=name)
            except HarnessError as error:
                print(f"not scored  {name}: {error}")
                continue
            yield scored
            test = (scored.result() or {})["test"]
            print(f"scored  {scored.name}  test " + "  ".join(f"{p} rSum {m['rsum']:.1f}" for p, m in test.items()))
