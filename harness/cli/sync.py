"""`harness sync`: bring the MLflow mirror up to date from the cell folders."""

import sys
import time
from pathlib import Path

import click

from harness.cli import options
from harness.printing.numbers import count


@click.command()
@options.runs
@click.option(
    "--store", metavar="URI", help="Tracking store.  [default: MLFLOW_TRACKING_URI, else mlflow.db beside the runs]"
)
@click.option("--rebuild", is_flag=True, help="Delete the runs in the store first and log them anew.")
def command(runs: Path, store: str | None, rebuild: bool) -> None:
    """Log to MLflow what the cell folders have and it lacks: a server was down, or runs were copied here.

    Temporary files that killed workers have left are deleted.
    """
    from rich.progress import track

    from harness.ledger import Ledger
    from harness.reporting.figures.curves import figures
    from harness.tracking import forget, mirror_cell, open_store
    from harness.tracking.sweep import mirror_sweep
    from harness.uris import shown

    cells = list(Ledger(runs).cells())
    if not cells:
        print(f"{runs}: no runs yet; `harness run demo` makes some")
        return
    begin = time.monotonic()
    opened = open_store(store, runs)
    for cell in track(cells, description="cells", transient=True):
        if rebuild:
            forget(opened, cell)
        mirror_cell(opened, cell, figures=figures)
        cell.tidy()
    for sweep in sorted((runs / "sweeps").glob("*/sweep.json")):
        mirror_sweep(opened, sweep.parent)
    for cell in Ledger(runs).damaged():
        print(f"left out  {cell.fingerprint}: {cell.damage()}", file=sys.stderr)
    seconds = time.monotonic() - begin
    print(
        f"{shown(opened.uri)}: {count(len(cells), 'cell')} {'rebuilt' if rebuild else 'up to date'} in {seconds:.1f} s"
    )
