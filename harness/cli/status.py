"""`harness status`: where a grid stands."""

import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from harness.cli import options

STYLES = {"done": "green", "running": "cyan", "failed": "red", "interrupted": "yellow", "waiting": "dim"}


@click.command()
@click.argument("spec")
@options.runs
@options.smoke
def command(spec: str, runs: Path, smoke: bool) -> None:
    """Done, running (where, since when), failed (why) and waiting cells of the grid SPEC."""
    from harness.grids import load_grid
    from harness.launch.display import clock, describe
    from harness.ledger import Cell, Ledger, claim

    def words(cell: Cell, state: str) -> str:
        if state == "done":
            result = cell.result() or {}
            return "  ".join(f"{p} rSum {m['rsum']:.1f}" for p, m in result["test"].items())
        if state == "failed":
            return str((cell.failure() or {}).get("error", ""))
        if state in ("running", "interrupted"):
            holder = claim.read(cell.folder)
            where = f"{holder['host']} since {clock(time.time() - holder['since'])}  " if holder else ""
            return where + describe(cell.heartbeat())
        return ""

    grid = load_grid(spec, smoke=smoke)
    ledger = Ledger(runs)
    table = Table(box=None, padding=(0, 2))
    for column in ("cell", "state", "", "fingerprint"):
        table.add_column(column, no_wrap=column != "")
    counts: Counter[str] = Counter()
    spent = 0.0
    for planned in grid.cells:
        cell = ledger.cell(planned.fingerprint)
        state = cell.state()
        counts[state] += 1
        if state == "done":
            spent += (cell.result() or {}).get("seconds", 0.0)
        table.add_row(planned.name, f"[{STYLES[state]}]{state}[/]", words(cell, state), planned.fingerprint)
    console = Console()
    console.print(table)
    console.print(
        f"{grid.name}: {', '.join(f'{n} {state}' for state, n in counts.items())}; {clock(spent)} of training"
    )
