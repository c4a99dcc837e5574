"""`harness sync`: bring the mirrors up to date from the cell folders."""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.printing.numbers import count

if TYPE_CHECKING:
    from harness.tracking import Target


@click.command()
@options.runs
@click.option(
    "--store", metavar="URI", help="MLflow's store.  [default: MLFLOW_TRACKING_URI, else mlflow.db beside the runs]"
)
@click.option("--rebuild", is_flag=True, help="Delete the runs in the mirrors first and log them anew.")
@options.mirrors
def command(runs: Path, store: str | None, rebuild: bool, mirrors: list[str]) -> None:
    """Show in MLflow, and in each --mirror, what the cell folders have and it lacks: a server was down, or runs were
    copied here.

    Temporary files that killed workers have left are deleted.
    """
    from harness.ledger import Ledger
    from harness.reporting.shown import EXTRAS
    from harness.tracking import opener

    if not list(Ledger(runs).cells()):
        print(f"{runs}: no runs yet; `harness run demo` makes some")
        return
    for name in mirrors or ["mlflow"]:  # HARNESS_MIRROR=none is about runs that train
        with closing(opener(name, runs, uri=store, extras=EXTRAS)()) as target:
            _sync(runs, target, rebuild)
    for cell in Ledger(runs).cells():
        cell.tidy()
    for cell in Ledger(runs).damaged():
        print(f"left out  {cell.fingerprint}: {cell.damage()}", file=sys.stderr)


def _sync(runs: Path, target: "Target", rebuild: bool) -> None:
    from rich.progress import track

    from harness.ledger import Ledger
    from harness.uris import shown

    begin = time.monotonic()
    cells = list(Ledger(runs).cells())
    for sweep in sorted((runs / "sweeps").glob("*/sweep.json")):
        target.mirror_sweep(sweep.parent)
    for cell in track(cells, description="cells", transient=True):
        grid = cell.spec["grid"]
        if rebuild:
            target.forget(cell, grid)
        target.mirror(cell, grid)
    seconds = time.monotonic() - begin
    state = "rebuilt" if rebuild else "up to date"
    print(f"{shown(target.place)}: {count(len(cells), 'cell')} {state} in {seconds:.1f} s")
