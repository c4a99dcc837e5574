"""`harness run`: train a grid."""

import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command(
    epilog="""\b
Examples:
  harness run demo --jobs 2                       two cells at once
  harness run demo --smoke                        minutes, to see that everything works
  harness run demo --only method=crcl --only noise.rate=0.4
  harness run my_grid.toml --set schedule.lr=1e-3
  harness run flickr30k_noise --budget 8h         the same command continues it
  harness run flickr30k_noise --launcher slurm --profile cluster.toml --jobs 16"""
)
@click.argument("grid_name", metavar="GRID", shell_complete=options.complete_names("experiments"))
@options.runs
@options.data
@options.only
@options.settings
@options.smoke
@click.option("--jobs", "-j", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once.")
@options.processes
@options.launcher
@options.budget
@options.mirrors
@options.retrain
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@options.machine
def command(
    grid_name: str,
    runs: Path,
    data: Path,
    only: dict[str, list[str]],
    settings: dict[str, Any],
    smoke: bool,
    retrain: bool,
    dry_run: bool,
    **how: Any,
) -> None:
    """Train GRID (a name in experiments/ or a .toml file).

    Finished cells are skipped, killed ones continue from their checkpoint, and failed ones are tried again. One
    failure does not stop the rest. The exit status is 1 if a cell failed; a cell that the budget leaves unfinished
    has not failed.
    """
    from harness.api.running import run_grid
    from harness.cli.running import name_report, show_end, show_next, show_plan
    from harness.grids import load_grid

    grid = load_grid(grid_name, smoke=smoke, only=only, settings=settings)
    if dry_run:
        show_plan(grid, runs=runs, data=data, retrain=retrain)
        return
    ran = run_grid(grid, runs=runs, data=data, retrain=retrain, **how)
    status = show_end(grid.name, ran)
    show_next(ran, runs=runs, report=name_report(grid.path, smoke=smoke))
    sys.exit(status)
