"""`harness compare`: two runs side by side."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("run_a", metavar="RUN")
@click.argument("run_b", metavar="RUN")
@options.runs
@options.data
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="Write compare.md, .html, .png, .svg and .pdf to this folder.",
)  # fmt: skip
def command(run_a: str, run_b: str, runs: Path, data: Path, out: Path) -> None:
    """Print how two runs differ: settings, results with intervals, queries that each wins; and draw their curves.

    A RUN is the beginning of its fingerprint, or its name. A run that is not finished has curves and settings only;
    with the dataset in --data the queries show their captions.
    """
    from harness.ledger import Ledger
    from harness.reporting.comparison.compare import write_comparison

    ledger = Ledger(runs)
    text, files = write_comparison(ledger.find(run_a), ledger.find(run_b), out, data)
    print(text)
    print("written: " + " ".join(map(str, files)))
