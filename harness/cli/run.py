"""`harness run`: train a grid."""

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from harness.cli import options

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def _seconds(_context: click.Context, _parameter: click.Parameter, given: str | None) -> float | None:
    """12h, 90m, 1h30m, ... in seconds."""
    if given is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", given)
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != given or seconds <= 0:
        raise click.BadParameter(f"{given!r}: write a time, for example 12h, 90m or 1h30m; units are d, h, m and s")
    return seconds


@click.command()
@click.argument("spec")
@options.runs
@options.data
@options.only
@options.smoke
@click.option("--jobs", "-j", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Training processes of each cell, which share its batches: for a run too large for one GPU.",
)
@options.launcher
@click.option(
    "--budget",
    callback=_seconds,
    metavar="TIME",
    help="How long to work, e.g. 12h or 1h30m; then every cell stops after a checkpoint. Cells that are likely to end "
    "in time go first.",
)
@click.option(
    "--retrain", is_flag=True,
    help="Train again the finished cells that are of other data or code than now; the old ones move to runs/.old.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@options.machine
def command(
    spec: str,
    runs: Path,
    data: Path,
    only: dict[str, list[str]],
    smoke: bool,
    jobs: int,
    processes: int,
    launcher: str,
    profile: Path | None,
    budget: float | None,
    retrain: bool,
    dry_run: bool,
    machine: dict[str, Any],
) -> None:
    """Train the grid SPEC (a name in experiments/ or a .toml file).

    Finished cells are skipped, killed ones continue from their checkpoint, failed ones are tried again; one
    failure does not stop the rest. Exit status 1 if a cell failed; a cell that a spent budget leaves has not failed.
    """
    from harness.data.now import DataNow
    from harness.errors import HarnessError
    from harness.grids import load_grid
    from harness.launch import retrain as again
    from harness.launch.budget import Budget
    from harness.launch.display import clock
    from harness.launch.ensemble import score_ensemble
    from harness.launch.estimate import estimate
    from harness.launch.pool import run_cells
    from harness.launch.prepare import prepare_data
    from harness.launch.profile import open_engine
    from harness.ledger import Ledger
    from harness.training import Machine

    grid = load_grid(spec, smoke=smoke)
    chosen = grid.only(only) if only else grid.cells
    ledger = Ledger(runs)
    now, known = DataNow(data), [ledger.cell(cell.fingerprint) for cell in chosen]
    if dry_run:
        reasons = {other.cell.fingerprint: other.why for other in again.others(known, now)}
        for cell in chosen:
            state, why = ledger.cell(cell.fingerprint).state(), reasons.get(cell.fingerprint, "")
            skip = state == "done" and not (why and retrain)
            words = f"{state}, {why}" if why else state
            print(f"{'skip' if skip else 'train':5s} {cell.fingerprint}  {cell.name}  ({words})")
        return
    from harness.reporting.figures.curves import figures
    from harness.tracking import Mirror

    # The workers of a cluster may have another device.
    here = Machine(**{**machine, "device": machine["device"] if launcher == "local" else "auto"})
    here.torch_device()  # a missing device is told now, not by every worker
    engine = open_engine(launcher, jobs, profile)
    prepare_data(chosen, data)
    others = again.others(known, now)
    if retrain:
        for other, path in again.move_aside([*others, *again.begun_on_others(known, now)]):
            print(f"again   {other.cell.name}  {other.why}; what there was is in {path}")
        others = again.others(known, now)
    for line in again.sentences(others, "the same command with --retrain"):
        print(line)
    cells = [ledger.add(cell.entry(grid.name)) for cell in chosen]
    worker_options = [*options.for_worker(machine), *(["--processes", str(processes)] if processes > 1 else [])]
    time = None
    if budget is not None:
        plans = [plan for plan in estimate(chosen, runs, data) if plan.state != "done"]
        time = Budget.over_plans(budget, plans)
        fit = time.fitting([plan.cell.fingerprint for plan in plans], jobs)
        unknown = f", {len(plans) - len(time.left)} have no estimate" if len(time.left) < len(plans) else ""
        print(f"budget {clock(budget)}: by the estimate {fit} of {len(plans)} cells to train end in time{unknown}")
    mirror = Mirror(None, runs, grid=grid.name, figures=figures)
    with closing(engine):
        states = run_cells(
            cells, data=data, engine=engine, worker_options=worker_options, update=mirror.update, budget=time
        )
    for name, team in grid.teams(chosen):
        members = [ledger.cell(cell.fingerprint) for cell in team]
        if all(member.state() == "done" for member in members):
            try:
                scored = score_ensemble(members, ledger, data, here, name=name)
            except HarnessError as error:
                print(f"not scored  {name}: {error}")
                continue
            mirror.update([scored])
            test = (scored.result() or {})["test"]
            print(f"scored  {scored.name}  test " + "  ".join(f"{p} rSum {m['rsum']:.1f}" for p, m in test.items()))
    if mirror.complaint:
        print(f"warning: {mirror.complaint}", file=sys.stderr)
    # A worker that was killed leaves its cell interrupted: no failure of the run, but not done either.
    unfinished = {cell: state for cell, state in states.items() if state != "done"}
    later = {}
    if time is not None and time.spent:
        later = {cell: state for cell, state in unfinished.items() if state != "failed"}
        unfinished = {cell: state for cell, state in unfinished.items() if state == "failed"}
    done = len(states) - len(unfinished) - len(later)
    older = f" ({len(others)} on other data or code than now)" if others else ""
    print(f"{grid.name}: {done} of {len(states)} cells done{older}, {len(unfinished)} failed")
    if later:
        print(f"  the budget is spent; {len(later)} cells are not finished, the same command continues them")
    for left, stands in unfinished.items():
        why = (left.failure() or {}).get("error", f"is {stands}; the same command continues it")
        print(f"  {left.name}: {why} (log: {left.path('log.txt')})")
    sys.exit(1 if unfinished else 0)
