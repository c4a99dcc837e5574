"""Checked grids, kept from one command to the next: what checks a run are its components, which import torch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.grids.expand import PlannedCell, axis_values
from harness.grids.grid import Grid
from harness.kept import keep
from harness.spec import KINDS, Component, RunSpec
from harness.spec.facts import own_facts


def remember(given: Any, path: Path, make: Callable[[], Grid]) -> Grid:
    """The grid that `make` gives, or gave when it was last asked for.

    Args:
        given: all that it is made from beside the code, as JSON.
        path: its file.
        make: reads and checks it.

    Raises:
        HarnessError: what `make` raises. Nothing is kept then, nor of a grid whose runs depend on other files too.
    """
    made: list[Grid] = []

    def make_table() -> dict[str, Any] | None:
        made.append(make())
        return _table(made[0]) if all(_alone(cell.run) for cell in made[0].cells) else None

    kept = keep("grid", given, make_table)
    return made[0] if made else _grid(kept, path)


def _alone(run: RunSpec) -> bool:
    """Whether it names nothing but this project's components: no file, no folder, no class of another package."""
    from harness.grids.resolve import PINS

    components = [getattr(run, kind) for kind in KINDS]
    return all(
        component.name in own_facts(component.kind) and not component.parameters.get(PINS[component.kind][0])
        for component in components
    )


def _table(grid: Grid) -> dict[str, Any]:
    cells = [[cell.name, cell.place, cell.run.table(), cell.fingerprint] for cell in grid.cells]
    return {"name": grid.name, "title": grid.title, "claim": grid.claim, "ensembles": grid.ensembles, "cells": cells}


def _grid(table: dict[str, Any], path: Path) -> Grid:
    cells = [PlannedCell(name, place, _run(run), print_) for name, place, run, print_ in table["cells"]]
    return Grid(
        table["name"], table["title"], table["claim"], path, axis_values(cells), cells, table["ensembles"]
    )  # fmt: skip


def _run(table: dict[str, Any]) -> RunSpec:
    """As `RunSpec.from_table`, of a table that is whole."""
    components = {}
    for kind in KINDS:
        parameters = dict(table[kind])
        components[kind] = Component(kind=kind, name=parameters.pop("name"), parameters=parameters)
    return RunSpec(**{**table, **components})
