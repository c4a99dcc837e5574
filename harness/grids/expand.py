"""From a grid's axes to its cells: the product of the axes, one key at a time beside it, and exceptions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from harness.grids.resolve import resolve_run
from harness.grids.tables import Table, merge, nested
from harness.spec import RunSpec, fingerprint
from harness.spec.run import Strict

PARAMETER, VALUE = "parameter", "value"  # labels of the cells of [vary]
BASE = "base"  # the parameter of the cell that is the run as it stands


class Override(Strict):
    """Cells on which the paper differs: which, and what is laid over their run."""

    where: dict[str, Any]
    run: dict[str, Any]


@dataclass(frozen=True)
class CellSpec:
    """One cell: its place on the axes and its run."""

    name: str  # "crcl noise.rate=0.4 seed=0"
    labels: dict[str, Any]  # axis -> value, or the variant's name
    run: RunSpec
    fingerprint: str

    def entry(self, grid: str) -> dict[str, Any]:
        """What the ledger keeps as spec.json."""
        return {
            "fingerprint": self.fingerprint,
            "grid": grid,
            "cell": self.name,
            "labels": self.labels,
            "run": self.run.table(),
        }


def expand(
    run: Table,
    axes: dict[str, list[Any] | dict[str, Table]],
    vary: dict[str, list[Any]],
    exceptions: list[Override],
    path: Path,
) -> list[CellSpec]:
    """Every cell of a grid.

    Args:
        run: what all cells share.
        axes: values of a key, or named variants.
        vary: keys that take their values one at a time, the others as in `run`.
        exceptions: laid over the cells they name.
        path: the grid's file, for messages.

    Raises:
        HarnessError: one line about the first faulty cell.
    """
    variants = {axis: _variants(axis, values) for axis, values in axes.items()}
    if not vary:
        return list(_product(run, variants, exceptions, path))
    cells = list(_product(run, {**variants, PARAMETER: _settings(vary)}, exceptions, path))
    # A varied key may pass through the run's own value: that cell is the base cell.
    base = {cell.fingerprint for cell in cells if cell.labels[PARAMETER] == BASE}
    return [cell for cell in cells if cell.labels[PARAMETER] == BASE or cell.fingerprint not in base]


@dataclass(frozen=True)
class _Variant:
    """One value of an axis: what it is called, what it adds to the cell's labels, what it lays over the run."""

    name: str
    labels: dict[str, Any]
    run: Table


def _variants(axis: str, values: list[Any] | dict[str, Table]) -> list[_Variant]:
    if isinstance(values, dict):
        return [_Variant(label, {axis: label}, table) for label, table in values.items()]
    return [_Variant(_name(axis, value), {axis: _label(value)}, nested(axis, value)) for value in values]


def _settings(vary: dict[str, list[Any]]) -> list[_Variant]:
    """The run as it is, then each key at each of its values."""
    settings = [_Variant("base", {PARAMETER: BASE, VALUE: ""}, {})]
    for key, values in vary.items():
        for value in values:
            labels = {PARAMETER: key, VALUE: _label(value)}
            settings.append(_Variant(_name(key.rpartition(".")[2], value), labels, nested(key, value)))
    return settings


def _label(value: Any) -> Any:
    """An axis's value as a label; a list as "7-7-32", which can be typed after --only."""
    return "-".join(map(str, value)) if isinstance(value, list) else value


def _name(axis: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{axis}={_label(value)}"


def _product(run: Table, axes: dict[str, list[_Variant]], exceptions: list[Override], path: Path) -> Iterator[CellSpec]:
    for chosen in product(*axes.values()):
        labels: dict[str, Any] = {}
        table = run
        for variant in chosen:
            labels |= variant.labels
            table = merge(table, variant.run)
        for exception in exceptions:
            if all(_fits(labels[axis], accepted) for axis, accepted in exception.where.items()):
                table = merge(table, exception.run)
        name = " ".join(variant.name for variant in chosen)
        spec = resolve_run(table, f"{path}: cell '{name}'" if name else str(path))
        yield CellSpec(name or path.stem, labels, spec, fingerprint(spec))


def _fits(label: Any, accepted: Any) -> bool:
    return label in accepted if isinstance(accepted, list) else label == accepted
