"""`harness cell`: train one cell of the ledger, in this process."""

import sys
from pathlib import Path

import click

from harness.cli import options

STATUS = {"done": 0, "already done": 0, "failed": 1, "held": 3, "lost": 3, "interrupted": 130}


@click.command()
@click.argument("fingerprint")
@options.runs
@options.data
@options.machine
def command(
    fingerprint: str,
    runs: Path,
    data: Path,
    device: str,
    precision: str,
    compile_: bool,
    checkpoint_seconds: float,
) -> None:
    """Train one cell; what the launchers start.

    Exit status: 0 done, 1 failed (see failure.json), 3 another worker has it, 130 interrupted after a checkpoint.
    """
    from harness.ledger import Ledger
    from harness.training import Machine, work

    machine = Machine(device, precision, compile_, checkpoint_seconds)  # type: ignore[arg-type]
    cell = Ledger(runs).find(fingerprint)
    outcome = work(cell, data, machine)
    failure = cell.failure()
    if outcome == "failed" and failure is not None:
        print(failure["traceback"], file=sys.stderr)
    print(f"{outcome}: {cell.name}")
    sys.exit(STATUS[outcome])
