"""`harness status`: where a grid stands."""

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from harness.cli import options

if TYPE_CHECKING:
    from harness.launch.estimate import Plan
    from harness.ledger import Cell

STYLES = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "interrupted": "yellow",
    "waiting": "dim",
    "damaged": "red",
}


@click.command()
@click.argument("grid_name", metavar="GRID", shell_complete=options.complete_names("experiments"))
@options.runs
@options.data
@options.only
@options.settings
@options.smoke
def command(
    grid_name: str, runs: Path, data: Path, only: dict[str, list[str]], settings: dict[str, Any], smoke: bool
) -> None:
    """Show the cells of GRID: done, running (where, since when, last heartbeat), failed (why), waiting.

    The last line counts them, with the training time spent so far and about how much is left. Finished cells that are
    of other data or code than now are named with what trains them again.
    """
    from harness.data.now import DataNow
    from harness.grids import load_grid
    from harness.launch import retrain
    from harness.launch.estimate import estimate
    from harness.ledger import Ledger

    grid = load_grid(grid_name, smoke=smoke, only=only, settings=settings)
    ledger = Ledger(runs)
    plans = estimate(grid.cells, runs, data)
    width = max(len(plan.cell.name) for plan in plans)
    # Lines and not a table: rich's takes longer over a thousand rows than all the rest, and squeezes the words.
    others = retrain.find_others((ledger.cell(plan.cell.fingerprint) for plan in plans), DataNow(data))
    why = {other.cell.fingerprint: f"  {other.why}" for other in others}
    shown = Text()
    for plan in plans:
        name = plan.cell.fingerprint
        shown.append(f"{plan.state:12s}", STYLES["interrupted" if name in why else plan.state])
        words = _words(ledger.cell(name), plan.state) + why.get(name, "")
        shown.append(f"{plan.cell.name:{width}s}  {name}  {words}".rstrip() + "\n")
    console = Console(soft_wrap=True)
    console.print(shown, end="")
    counts = Counter(plan.state for plan in plans)
    states = ", ".join(f"{n} {state}" for state, n in counts.items())
    console.print(f"{grid.name}: {states}; {_cost(plans)}", highlight=False, markup=False)
    same = f"harness run {grid_name}{' --smoke' if smoke else ''}"
    command = f"`{same}` with the same options and --retrain" if only or settings else f"`{same} --retrain`"
    for line in retrain.write_sentences(others, command):
        console.print(line, style="yellow", highlight=False, markup=False)


def _words(cell: "Cell", state: str) -> str:
    """What there is to say about a cell, in one line."""
    from harness.launch.display import clock, describe
    from harness.ledger import claim
    from harness.ledger.collapse import collapsed_labels

    if state == "done":
        result = cell.result() or {}  # empty while another launcher moves it aside
        scores = [f"{p} rSum {m['rsum']:.1f}" for p, m in result.get("test", {}).items()]
        fault = collapsed_labels(result.get("labels", {}))
        return "  ".join([*scores, *([fault] if fault else [])])
    if state == "failed":
        return str((cell.failure() or {}).get("error", ""))
    if state == "damaged":
        return cell.damage()
    if state == "waiting":
        return ""
    holder, beat, now = claim.read(cell.folder), cell.heartbeat(), time.time()
    parts = []
    if holder is not None:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(holder["since"]))
        parts.append(f"{holder['host']} since {since} ({clock(now - holder['since'])})")
    if "time" in beat:
        parts.append(f"heartbeat {clock(now - beat.pop('time'))} ago")
    lost = cell.lost_epochs()
    if lost:
        parts.append(f"metrics.jsonl was damaged: {_epochs(lost)} no row; training goes on without")
    return "  ".join([*parts, describe(beat)])


def _epochs(numbers: list[int]) -> str:
    from harness.printing.numbers import ordinal

    if len(numbers) == 1:
        return f"epoch {ordinal(numbers[0])} has"
    return (
        f"epochs {', '.join(str(ordinal(number)) for number in numbers[:3])}{', ...' if len(numbers) > 3 else ''} have"
    )


def _cost(plans: "list[Plan]") -> str:
    """Training time spent, and left if the cells were trained one after another."""
    from harness.launch.display import clock
    from harness.printing.numbers import count

    text = f"{clock(sum(plan.spent for plan in plans))} of training"
    known = [plan.left for plan in plans if plan.left is not None]
    if any(known):
        text += f", about {clock(sum(known))} left one after another"
    if len(known) < len(plans):
        text += f"; the time of {count(len(plans) - len(known), 'cell')} is unknown: no similar cell was trained yet"
    return text
