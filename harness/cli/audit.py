"""`harness audit`: the wrong pairs of a data set, by the labels of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from harness.cli import options

if TYPE_CHECKING:
    from harness.audit import Audit


@click.command(
    epilog="""\b
Examples:
  harness audit 3f2a                              the run whose fingerprint begins so
  harness audit 3f2a --images flickr8k.zip        with the pictures of a data set that has features alone
  harness audit 3f2a --top 1000 --out audits"""
)
@click.argument("run")
@options.runs
@options.data
@click.option(
    "--top", type=click.IntRange(1, 1000), default=200, show_default=True,
    help="How many of the lowest pairs get a card with their best alternatives.",
)  # fmt: skip
@click.option(
    "--images", type=click.Path(path_type=Path),
    help="A folder or zip archive with the pictures, named by image id; not needed for twemoji.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("out"), show_default=True,
    help="The folder in which audit-FINGERPRINT/ is made.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def command(run: str, runs: Path, data: Path, top: int, images: Path | None, out: Path, device: str) -> None:
    """Rank the training pairs of RUN (the beginning of its fingerprint, or its name), the least believed first.

    Writes all pairs as CSV, and a gallery page of the lowest ones: picture, caption, the label from epoch to epoch,
    the best other picture and caption. Pairs are ranked by their correspondence label; pairs with the same label, and
    pairs of methods without labels (triplet, InfoNCE), by match and then by similarity. Where the noise is synthetic,
    precision and recall say how many of the lowest pairs are wrong.
    """
    from harness.audit import write_audit
    from harness.ledger import Ledger
    from harness.training.machine import Machine

    console = Console(soft_wrap=True, highlight=False, markup=False)  # names and paths may hold brackets
    cell = Ledger(runs).find(run)
    console.print(f"{cell.name}  ({cell.fingerprint}, {cell.spec['run']['dataset']})", style="bold")
    audit = write_audit(cell, data, out, top=top, images=images, machine=Machine(device), say=console.print)
    _show(console, audit)


def _show(console: Console, audit: "Audit") -> None:
    from rich.table import Table

    from harness.printing.numbers import count

    summary = audit.summary
    console.print(f"{count(summary['pairs'], 'pair')}, {summary['rule']}")
    if audit.detection is None:
        console.print(f"precision and recall are not reported: {summary['unknown']}")
    else:
        found = audit.detection
        table = Table("lowest k", "precision", "recall", box=None, pad_edge=False)
        for column in table.columns:
            column.justify = "right"
        for cut in found.cutoffs:
            table.add_row(f"{cut.k:,}", f"{cut.precision:.1%}", f"{cut.recall:.1%}")
        table.add_row(f"{found.noisy:,}, as many as are wrong", f"{found.r_precision:.1%}", f"{found.r_precision:.1%}")
        table.add_row("random order", f"{found.chance:.1%}", "", style="dim")
        console.print(table)
        label = "" if summary["label_auc"] is None else f" (of the label alone {summary['label_auc']:.3f})"
        console.print(f"average precision {found.average_precision:.3f}, AUC {found.auc:.3f}{label}")
    for again in (summary["own_picture"], summary["own_caption"]):
        if again:
            console.print(again["words"])
    for note in audit.notes:
        console.print(note, style="dim")
    size = audit.files[0].stat().st_size / 2**20
    console.print(f"written: {' '.join(map(str, audit.files))}  (the page: {size:.1f} MiB)")
