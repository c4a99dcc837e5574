"""`harness ensemble`: the mean similarity of two finished runs, as SGRAF is scored."""

from pathlib import Path

import click

from harness.cli import options


@click.command()
@click.argument("members", nargs=-1, required=True, metavar="RUN RUN...")
@options.runs
@options.data
@options.mirrors
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
def command(members: tuple[str, ...], runs: Path, data: Path, mirrors: list[str], device: str) -> None:
    """Score the mean similarity of finished runs (SGRAF = SAF + SGR) on their test split, and keep it in the ledger.

    The runs must share dataset, noise, method, schedule and seed, and differ in the backbone. The result is a cell of
    its own, so that reports and MLflow show it beside its members.
    """
    from harness.errors import HarnessError
    from harness.launch.ensemble import score_ensemble
    from harness.ledger import Ledger
    from harness.reporting.shown import EXTRAS
    from harness.tracking import Mirror
    from harness.training.machine import Machine

    if len(members) < 2:
        raise HarnessError("harness ensemble: one run is no ensemble; name two or more finished runs")
    ledger, mirror = Ledger(runs), Mirror(runs, targets=mirrors, extras=EXTRAS)
    cell = score_ensemble([ledger.find(word) for word in members], ledger, data, Machine(device))
    for protocol, metrics in (cell.result() or {})["test"].items():
        recalls = "  ".join(f"{key} {metrics[key]:.1f}" for key in metrics if "_r" in key)
        print(f"{cell.name}: {protocol}  rSum {metrics['rsum']:.1f}  {recalls}")
    mirror.update([cell])
    mirror.close()
    if mirror.complaint:
        print(f"warning: {mirror.complaint}")
