"""Finished cells that are of other data, code or noise than now: said by the verbs, trained again where that is asked.

Nothing is trained again unasked. A grid may have cost weeks, and the data folder may be the wrong one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.ledger import Cell
from harness.ledger.aside import set_aside
from harness.ledger.comparable import Now, differences

LISTED = 3  # names in a line


@dataclass(frozen=True)
class Other:
    """A cell that training it now would not give. `why`: in words."""

    cell: Cell
    why: str


def find_others(cells: Iterable[Cell], now: Now) -> list[Other]:
    """The finished ones among `cells` that are of another state."""
    found = ((cell, differences(cell, now)) for cell in cells if not cell.damage())
    return [Other(cell, ", ".join(reasons.values())) for cell, reasons in found if reasons]


def begun_on_others(cells: Iterable[Cell], now: Now) -> list[Other]:
    """Unfinished cells whose checkpoint is of other data, so that a worker would refuse to continue them."""
    from harness.ledger.schema import Checkpoint
    from harness.training import checkpoint

    found = []
    for cell in cells:
        if cell.state() not in ("interrupted", "failed"):
            continue
        state = now.state(cell.spec["run"]["dataset"])
        try:
            saved = checkpoint.load(cell.path("checkpoint.pt"))
            if state is None or saved is None:
                continue
            begun = Checkpoint.from_dict(saved, str(cell.path("checkpoint.pt"))).data["features or captions"]
        except HarnessError:  # damaged: the worker says so
            continue
        if begun not in state.digests.values():
            found.append(Other(cell, f"begun on other data than {state.folder} holds now"))
    return found


def move_aside(found: Sequence[Other]) -> list[tuple[Other, Path]]:
    """Move these cells aside, so that they are trained again; gives where each went. One that runs is left alone."""
    moved = ((other, set_aside(other.cell, other.cell.result())) for other in found)
    return [(other, path) for other, path in moved if path is not None]


def write_sentences(found: Sequence[Other], command: str) -> list[str]:
    """A line for each reason: which cells, and what trains them again."""
    by_reason: dict[str, list[str]] = {}
    for other in found:
        by_reason.setdefault(other.why, []).append(other.cell.name)
    return [
        f"{len(names)} finished {'cell was' if len(names) == 1 else 'cells were'} {why}: {_listed(names)}; "
        f"{command} trains {'it' if len(names) == 1 else 'them'} again and keeps what there is"
        for why, names in by_reason.items()
    ]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
