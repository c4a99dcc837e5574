"""What the mirrors show of a run beside its own files: its curves, and a description in words."""

from collections.abc import Mapping
from typing import Any

from harness.ledger import Cell
from harness.ledger.command import made_by
from harness.printing.markdown import markdown
from harness.printing.numbers import decimal, duration, percent
from harness.printing.table import Block, Section, Table, plain
from harness.reporting.diagnosis import diagnose
from harness.reporting.figures.curves import figures
from harness.tracking import Extras

RECALLS = {f"{way}_r{k}": f"{way} R@{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)} | {"rsum": "rSum"}


def note(cell: Cell) -> str:
    """A run's description in Markdown: the row of a table, what the diagnosis found, how it was made."""
    spec, result = cell.spec, cell.result()
    blocks: list[Block] = []
    if result is not None:
        blocks.append(_recalls(result))
        rate = result["noise"]["realised_rate"]
        noise = "" if rate is None else f"; {percent(rate)} of the training pairs are wrong"
        best = result["best"]
        epoch = f"epoch {best['epochs'] + 1} of {result.get('epochs', len(cell.rows()))}, " if best else ""
        blocks.append(f"Selected: {epoch}by {result['selection']}, which sees dev alone{noise}.")
        blocks.append(f"Trained in {duration(result['seconds'])} on {result['environment'].get('device', 'a device')}.")
    elif (failure := cell.failure()) is not None:
        blocks.append(f"Failed: {failure['error']}")
    if cell.rows():
        blocks.append([f"**{finding.verdict}** {finding.signature}: {finding.words}" for finding in diagnose(cell)])
    more = " ".join(f"`harness {verb} {cell.fingerprint}`" for verb in ("diagnose", "audit"))
    blocks.append(f"Made by `{made_by(spec)}`. More: {more}")
    return markdown(Section(cell.name, blocks, level=3))


def _recalls(result: Mapping[str, Any]) -> Table:
    scored = [(f"test {protocol}", metrics) for protocol, metrics in result["test"].items()]
    if result["dev"]:
        scored.append(("dev", result["dev"]))
    rows = [[name, *(decimal(metrics.get(key)) for key in RECALLS)] for name, metrics in scored]
    return plain(["Split", *RECALLS.values()], rows, numbers=range(1, 1 + len(RECALLS)))


EXTRAS = Extras(figures=figures, note=note)
