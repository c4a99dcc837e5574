"""`harness diagnose`: what went wrong, in words."""

from pathlib import Path

import click
from rich.console import Console

from harness.cli import options

STYLE = {"found": "bold red", "ok": "green", "not judged": "dim"}


@click.command()
@click.argument("run")
@options.runs
def command(run: str, runs: Path) -> None:
    """Look for the known failures of RUN's method (RUN: the beginning of its fingerprint, or its name)."""
    from harness.ledger import Ledger
    from harness.printing.numbers import count
    from harness.reporting.diagnosis import diagnose

    ledger = Ledger(runs)
    cell = ledger.find(run)
    console = Console(soft_wrap=True)
    console.print(f"{cell.name}  ({cell.fingerprint}, {cell.state()})", style="bold", highlight=False)
    if lost := cell.lost_epochs():
        console.print(f"metrics.jsonl was damaged and lacks {count(len(lost), 'epoch')}", style="yellow")
    for finding in diagnose(cell, ledger.cells()):
        console.print(f"[{STYLE[finding.verdict]}]{finding.verdict:10s}[/] {finding.signature}", highlight=False)
        console.print(f"           {finding.words}", style="dim", highlight=False)
