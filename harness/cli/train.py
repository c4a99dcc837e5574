"""`harness train`: one run without a file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.spec import RunSpec

SHORT = {"epochs": "schedule.epochs"}  # options whose key of the run is another word


@click.command()
@click.option("--dataset", metavar="NAME", help="The data set.")
@click.option("--method", metavar="NAME", help="The method.")
@click.option("--noise", metavar="NAME", help="The noise model.  [default: caption_level, at rate 0]")
@click.option("--backbone", metavar="NAME", help="The backbone.  [default: vse_infinity]")
@click.option("--epochs", type=int, help="Length of the training, for a method that does not bring its own.")
@click.option("--seed", type=int, help="[default: 0]")
@options.settings
@options.runs
@options.data
@options.processes
@options.launcher
@options.budget
@options.mirrors
@options.retrain
@click.option("--dry-run", is_flag=True, help="Train nothing: print fingerprint and settings, as a grid's file.")
@options.machine
def command(
    dataset: str | None,
    method: str | None,
    noise: str | None,
    backbone: str | None,
    epochs: int | None,
    seed: int | None,
    settings: dict[str, Any],
    runs: Path,
    data: Path,
    dry_run: bool,
    **how: Any,
) -> None:
    """Train one run, for example

    harness train --dataset twemoji --method crcl --set method.beta=0.9 --set noise.rate=0.4

    Any key of a run may be set; `harness list NAME` shows those of a method, backbone or noise model. The run is kept
    as a cell of a grid is: the same command continues it, and trains nothing when it is finished.
    """
    from harness.api.running import run_grid
    from harness.cli.running import show_end, show_next
    from harness.grids import single_run
    from harness.grids.toml import to_toml
    from harness.ledger import Ledger

    named = {"dataset": dataset, "method": method, "noise": noise, "backbone": backbone, "epochs": epochs, "seed": seed}
    named = {SHORT.get(key, key): value for key, value in named.items() if value is not None}
    grid = single_run({**named, **settings})
    [cell] = grid.cells
    if dry_run:
        print(f"# {cell.fingerprint}  {cell.name}  ({Ledger(runs).cell(cell.fingerprint).state()})")
        print(to_toml({"title": grid.title, "run": cell.run.table()}), end="")
        return
    print(f"noise {_words(cell.run, 'noise')}, backbone {_words(cell.run, 'backbone')}; all settings: --dry-run")
    ran = run_grid(grid, runs=runs, data=data, **how)
    status = show_end(grid.name, ran)
    show_next(ran, runs=runs, report=f"harness diagnose {cell.fingerprint[:8]}")
    sys.exit(status)


def _words(run: "RunSpec", kind: str) -> str:
    component = getattr(run, kind)
    rate = component.parameters.get("rate")
    return str(component.name) if rate is None else f"{component.name} at rate {rate:g}"
