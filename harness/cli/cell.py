"""`harness cell`: train one cell of the ledger, in this process or in several that it starts."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from harness.cli import options

STATUS = {"done": 0, "already done": 0, "failed": 1, "held": 3, "lost": 3, "interrupted": 130}


@click.command()
@click.argument("fingerprint")
@options.runs
@options.data
@options.machine
@click.option(
    "--processes", type=click.IntRange(min=1), default=1, show_default=True,
    help="How many processes train this cell; they share its batches.",
)  # fmt: skip
def command(
    fingerprint: str,
    runs: Path,
    data: Path,
    machine: dict[str, Any],
    processes: int,
) -> None:
    """Train the cell FINGERPRINT of the ledger. The launchers call this verb.

    Under torchrun, this is one of the processes that train it. Exit status: 0 done, 1 failed (see failure.json), 3
    another worker has it, 130 interrupted after a checkpoint.
    """
    from harness.distributed import one_of_several
    from harness.ledger import Ledger
    from harness.training.machine import Machine
    from harness.training.processes import run_processes
    from harness.training.work import work

    cell = Ledger(runs).find(fingerprint)
    if processes > 1 and not one_of_several():
        sys.exit(run_processes(processes, ["-m", "harness", *sys.argv[1:]]))
    outcome = work(cell, data, Machine(**machine))
    if not one_of_several() or os.environ["RANK"] == "0":  # one line for all processes of a run
        failure = cell.failure()
        if outcome == "failed" and failure is not None:
            print(failure["traceback"], file=sys.stderr)
        print(f"{outcome}: {cell.name}", flush=True)
    sys.exit(STATUS[outcome])
