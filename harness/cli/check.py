"""`harness check`: what a grid would do, before it does it."""

from pathlib import Path
from typing import Any

import click

from harness.cli import options


@click.command()
@click.argument("spec")
@options.runs
@options.data
@options.only
@options.settings
@options.smoke
@click.option("--cells/--no-cells", default=True, help="List every cell.")
def command(
    spec: str, runs: Path, data: Path, only: dict[str, list[str]], settings: dict[str, Any], smoke: bool, cells: bool
) -> None:
    """Validate the grid SPEC, expand it, and estimate what it costs.

    The estimate uses the measured seconds per step of finished cells with the same dataset and backbone; without one it
    says how many steps there are to take.
    """
    from harness.grids import load_grid
    from harness.launch.estimate import estimate

    grid = load_grid(spec, smoke=smoke, only=only, settings=settings)
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
    total = f"about {sum(known) / 3600:.1f} h one after another" if left and len(known) == len(left) else ""
    unknown = "" if len(known) == len(left) else f"no finished cell to judge {len(left) - len(known)} of them by"
    print(f"{len(plans)} cells, {len(left)} to train" + "".join(f"; {part}" for part in (total, unknown) if part))
