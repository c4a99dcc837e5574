"""`harness import`: an exported run into a ledger."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@options.runs
def command(folder: Path, runs: Path) -> None:
    """Take the run in FOLDER, as `harness export` made it, into the ledger as a finished run.

    Its fingerprint is computed anew from its settings, and every file is held against its checksum. A run that the
    ledger has already is not overwritten.
    """
    from harness.ledger import Ledger
    from harness.sharing.importing import import_run

    cell, new = import_run(folder, Ledger(runs))
    print(f"{cell.name}  ({cell.fingerprint}): {'imported' if new else 'is there already, the same'}: {cell.folder}")
