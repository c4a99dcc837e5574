"""`harness run`: train a grid."""

import sys
from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("spec")
@options.runs
@options.data
@options.only
@options.smoke
@click.option("--jobs", "-j", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@options.machine
def command(
    spec: str,
    runs: Path,
    data: Path,
    only: dict[str, list[str]],
    smoke: bool,
    jobs: int,
    dry_run: bool,
    device: str,
    precision: str,
    compile_: bool,
    checkpoint_seconds: float,
) -> None:
    """Train the grid SPEC (a name in experiments/ or a .toml file).

    Finished cells are skipped, killed ones continue from their checkpoint, failed ones are tried again; one
    failure does not stop the rest. Exit status 1 if a cell failed.
    """
    from harness.grids import load_grid
    from harness.launch import run_cells
    from harness.launch.ensemble import score_ensemble
    from harness.launch.prepare import prepare_data
    from harness.ledger import Ledger
    from harness.reporting.figures.curves import figures
    from harness.tracking import Mirror
    from harness.training import Machine

    grid = load_grid(spec, smoke=smoke)
    chosen = grid.only(only) if only else grid.cells
    ledger = Ledger(runs)
    if dry_run:
        for cell in chosen:
            state = ledger.cell(cell.fingerprint).state()
            print(f"{'skip' if state == 'done' else 'train':5s} {cell.fingerprint}  {cell.name}  ({state})")
        return
    Machine(device).torch_device()  # a missing device is told now, not by every worker
    prepare_data(chosen, data)
    cells = [ledger.add(cell.entry(grid.name)) for cell in chosen]
    worker_options = [
        "--device", device, "--precision", precision, "--compile" if compile_ else "--no-compile",
        "--checkpoint-seconds", str(checkpoint_seconds),
    ]  # fmt: skip
    mirror = Mirror(None, runs, grid=grid.name, figures=figures)
    states = run_cells(cells, data=data, jobs=jobs, worker_options=worker_options, update=mirror.update)
    for name, team in grid.teams(chosen):
        members = [ledger.cell(cell.fingerprint) for cell in team]
        if all(member.state() == "done" for member in members):
            scored = score_ensemble(members, ledger, data, Machine(device), name=name)
            mirror.update([scored])
            test = (scored.result() or {})["test"]
            print(f"scored  {scored.name}  test " + "  ".join(f"{p} rSum {m['rsum']:.1f}" for p, m in test.items()))
    if mirror.complaint:
        print(f"warning: {mirror.complaint}", file=sys.stderr)
    # A worker that was killed leaves its cell interrupted: no failure of the run, but not done either.
    unfinished = {cell: state for cell, state in states.items() if state != "done"}
    print(f"{grid.name}: {len(states) - len(unfinished)} of {len(states)} cells done, {len(unfinished)} failed")
    for left, stands in unfinished.items():
        why = (left.failure() or {}).get("error", f"is {stands}; the same command continues it")
        print(f"  {left.name}: {why} (log: {left.path('log.txt')})")
    sys.exit(1 if unfinished else 0)
