"""`harness check`: what a grid would do, before it does it."""

from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command()
@click.argument("grid_name", metavar="GRID", shell_complete=options.complete_names("experiments"))
@options.runs
@options.data
@options.only
@options.settings
@options.smoke
@click.option("--cells/--no-cells", default=True, help="List every cell.")
def command(
    grid_name: str,
    runs: Path,
    data: Path,
    only: dict[str, list[str]],
    settings: dict[str, Any],
    smoke: bool,
    cells: bool,
) -> None:
    """Check GRID, list its cells, and estimate what they cost.

    The estimate uses the measured seconds per step of cells with the same data set, backbone and batch size. Without
    such a cell it gives the number of steps alone.
    """
    from harness.grids import load_grid
    from harness.launch.estimate import estimate
    from harness.launch.prepare import refuse_unscorable
    from harness.printing.numbers import count

    grid = load_grid(grid_name, smoke=smoke, only=only, settings=settings)
    refuse_unscorable(grid.cells, data)
    print(f"{grid.path}: valid")
    print(f"{grid.title}\n{grid.claim}" if grid.claim else grid.title)
    for axis, values in grid.axes.items():
        print(f"  {axis}: {', '.join(map(str, values))}")
    plans = estimate(grid.cells, runs, data)
    if cells:
        for plan in plans:
            print(f"  {plan.cell.fingerprint}  {plan.state:11s}  {plan.cell.name}  {plan.words()}")
    left = [plan for plan in plans if plan.state != "done"]
    known = [plan.seconds for plan in left if plan.seconds is not None]
    words = [f"{count(len(plans), 'cell')}, {len(left)} to train"]
    if len(known) < len(left):
        words.append(f"the cost of {len(left) - len(known)} is unknown: no similar cell was trained yet")
    elif left:
        words.append(f"about {sum(known) / 3600:.1f} h one after another")
    print("; ".join(words))
