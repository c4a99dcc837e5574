"""What a grid costs, estimated from the time that finished epochs took."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data import open_dataset
from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.grids import PlannedCell
from harness.launch.display import clock
from harness.launch.length import count_steps
from harness.ledger import Cell, Ledger
from harness.printing.numbers import count


@dataclass(frozen=True)
class Spent:
    """What a cell has cost so far: its finished epochs, evaluation included."""

    seconds: float
    steps: int

    @classmethod
    def on(cls, cell: Cell) -> "Spent":
        result = cell.result()
        if result is not None:
            return cls(result["seconds"], result["steps"])
        rows = cell.rows()
        return cls(sum(row["seconds"] for row in rows), rows[-1]["step"] if rows else 0)


@dataclass(frozen=True)
class Plan:
    """One cell's cost: optimiser steps where the number of pairs is known, seconds where a like cell has trained."""

    cell: PlannedCell
    state: str
    epochs: int | None
    steps: int | None
    seconds: float | None  # from beginning to end
    spent: float  # seconds, of its finished epochs
    left: float | None  # seconds; None: unknown

    def words(self) -> str:
        if self.steps is None:
            return "steps unknown: the data are not here"
        time = f", about {clock(self.seconds)}" if self.seconds is not None and self.state != "done" else ""
        return f"{count(self.epochs or 0, 'epoch')}, {count(self.steps, 'step')}{time}"


def estimate(cells: Sequence[PlannedCell], runs: Path, data: Path) -> list[Plan]:
    """A plan per cell, in order."""
    ledger = Ledger(runs)
    known = {cell.fingerprint: cell for cell in ledger.cells()}
    spent = {name: Spent.on(cell) for name, cell in known.items()}
    states = {name: cell.state() for name, cell in known.items()}
    # A finished cell gives the better estimate, so it comes last and counts.
    paces: dict[str, float] = {}
    for name in sorted(known, key=lambda name: states[name] == "done"):
        if spent[name].steps:
            for like in _like(known[name].spec["run"]):
                paces[like] = spent[name].seconds / spent[name].steps
    pairs = {name: _pairs(name, data) for name in {cell.run.dataset for cell in cells}}
    lengths = count_steps((cell.run, pairs[cell.run.dataset]) for cell in cells)
    plans = []
    for cell, length in zip(cells, lengths, strict=True):
        state = states.get(cell.fingerprint) or ledger.cell(cell.fingerprint).state()
        so_far = spent.get(cell.fingerprint, Spent(0.0, 0))
        epochs = steps = seconds = left = None
        if length is not None:
            epochs, steps = length
            pace = next((paces[like] for like in _like(cell.run.table()) if like in paces), None)
            if pace is not None:
                seconds, left = steps * pace, max(steps - so_far.steps, 0) * pace
        if state == "running":  # the worker's own estimate is better
            left = known[cell.fingerprint].heartbeat().get("seconds_left", left)
        plans.append(Plan(cell, state, epochs, steps, seconds, so_far.seconds, 0.0 if state == "done" else left))
    return plans


def _like(run: dict[str, Any]) -> list[str]:
    """What a step's cost depends on, the best judge first: a run of the same method, then one of any."""
    shared = (run["dataset"], sorted(run["backbone"].items()), run["schedule"]["batch_size"])
    return [repr((*shared, run["method"]["name"])), repr(shared)]


def _pairs(dataset: str, data: Path) -> int | None:
    """Training pairs, from the data if they are here, else from the card."""
    try:
        return len(open_dataset(dataset, data).texts("train")[0])  # to count captions nothing is tokenised
    except HarnessError:
        card = CARDS.get(dataset)
        images = card.images.get("train") if card else None
        return images * card.captions_per_image if card and images and card.captions_per_image else None
