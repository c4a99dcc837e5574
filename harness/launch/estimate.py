"""What a grid costs, judged by what finished cells cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data import open_dataset
from harness.data.cards import CARDS
from harness.errors import HarnessError
from harness.grids import CellSpec
from harness.launch.display import clock
from harness.ledger import Ledger
from harness.methods import METHODS
from harness.spec import build


@dataclass(frozen=True)
class Plan:
    """One cell's cost: optimiser steps where the number of pairs is known, seconds where a like cell has finished."""

    cell: CellSpec
    state: str
    epochs: int | None
    steps: int | None
    seconds: float | None

    def words(self) -> str:
        if self.steps is None:
            return "(data not here: steps unknown)"
        time = f", about {clock(self.seconds)}" if self.seconds is not None and self.state != "done" else ""
        return f"{self.epochs} epochs, {self.steps:,} steps{time}"


def estimate(cells: Sequence[CellSpec], runs: Path, data: Path) -> list[Plan]:
    """A plan per cell, in order."""
    ledger = Ledger(runs)
    paces = _paces(ledger)
    pairs = {name: _pairs(name, data) for name in {cell.run.dataset for cell in cells}}
    plans = []
    for cell in cells:
        count = pairs[cell.run.dataset]
        epochs = steps = seconds = None
        if count is not None:
            per_epoch = -(-count // cell.run.schedule.batch_size)
            phases = build(cell.run.method, METHODS).phases(cell.run.schedule.epochs, per_epoch)
            epochs = sum(phase.epochs for phase in phases)
            steps = epochs * per_epoch
            pace = paces.get(_like(cell.run.dataset, cell.run.backbone.model_dump(), cell.run.schedule.batch_size))
            seconds = steps * pace if pace is not None else None
        plans.append(Plan(cell, ledger.cell(cell.fingerprint).state(), epochs, steps, seconds))
    return plans


def _paces(ledger: Ledger) -> dict[str, float]:
    """Seconds per step (evaluation included) of finished cells, by what the cost depends on."""
    paces = {}
    for cell in ledger.cells():
        result = cell.result()
        if result and result["steps"]:
            run = cell.spec["run"]
            like = _like(run["dataset"], run["backbone"], run["schedule"]["batch_size"])
            paces[like] = result["seconds"] / result["steps"]
    return paces


def _like(dataset: str, backbone: dict[str, object], batch_size: int) -> str:
    return repr((dataset, sorted(backbone.items()), batch_size))


def _pairs(dataset: str, data: Path) -> int | None:
    """Training pairs, from the data if they are here, else from the card."""
    try:
        return len(open_dataset(dataset, data).split("train").captions)
    except HarnessError:
        card = CARDS.get(dataset)
        images = card.images.get("train") if card else None
        return images * card.captions_per_image if card and images and card.captions_per_image else None
