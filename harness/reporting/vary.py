"""Grids that vary one hyperparameter at a time: their base run stands in the row of values of every hyperparameter."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from harness.grids import CellSpec
from harness.grids.expand import BASE, PARAMETER, VALUE


def base_runs(cells: Iterable[CellSpec]) -> set[str]:
    """The fingerprints of the run that the others differ from in one value, one for each place on the other axes."""
    return {cell.fingerprint for cell in cells if cell.labels.get(PARAMETER) == BASE}


def place_base(cells: list[CellSpec]) -> list[CellSpec]:
    """The cells with the base in the row of each hyperparameter, at its own value, as the same run under other labels.

    A grid without [vary] stays as it is, and so does one of which nothing but the base is left.
    """
    varied = list(dict.fromkeys(c.labels[PARAMETER] for c in cells if c.labels.get(PARAMETER, BASE) != BASE))
    placed = []
    for cell in cells:
        if cell.labels.get(PARAMETER) != BASE or not varied:
            placed.append(cell)
            continue
        table = cell.run.table()
        for key in varied:
            placed.append(replace(cell, labels={**cell.labels, PARAMETER: key, VALUE: value_of(table, key)}))
    return placed


def value_of(table: dict[str, Any], dotted: str) -> Any:
    """A run's value of a hyperparameter, as the labels of a grid write it: a list as "7-7-32"."""
    value: Any = table
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "-".join(map(str, value)) if isinstance(value, list) else value
