"""From a grid's axes to its cells: the product of the axes, one key at a time beside it, exceptions, and overrides."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Protocol, TypeVar

from harness.errors import HarnessError, suggest
from harness.grids.overrides import laid
from harness.grids.tables import Table, merge, nested
from harness.spec import RunSpec, fingerprint
from harness.spec.run import Strict

PARAMETER, VALUE = "parameter", "value"  # labels of the cells of [vary]
MOST = 100_000  # cells of a grid: more are a mistake, and take minutes to name
BASE = "base"  # the parameter of the cell that is the run as it stands

Conditions = Mapping[str, Sequence[str]]  # axis -> values as typed on a command line, any of which may be a cell's


class Override(Strict):
    """Cells on which the paper differs: which, and what is laid over their run."""

    where: dict[str, Any]
    run: dict[str, Any]


@dataclass(frozen=True)
class PlannedCell:
    """One cell: its place on the axes and its run."""

    name: str  # "crcl noise.rate=0.4 seed=0"
    place: dict[str, Any]  # axis -> value, or the variant's name
    run: RunSpec
    fingerprint: str

    def entry(self, grid: str) -> dict[str, Any]:
        """What the ledger keeps as spec.json."""
        return {
            "fingerprint": self.fingerprint,
            "grid": grid,
            "cell": self.name,
            "labels": self.place,
            "run": self.run.table(),
        }


@dataclass(frozen=True)
class _Unchecked:
    """A cell whose run is not checked yet."""

    name: str
    place: dict[str, Any]
    run: Table

    def cell(self, path: Path) -> PlannedCell:
        from harness.grids.resolve import resolve_run  # imports torch

        run = resolve_run(self.run, f"{path}: cell '{self.name}'" if self.name else str(path))
        return PlannedCell(self.name or path.stem, self.place, run, fingerprint(run))


class _Placed(Protocol):
    """What has a place on the axes."""

    @property
    def place(self) -> dict[str, Any]: ...


T = TypeVar("T", bound=_Placed)


def expand(
    run: Table,
    axes: Mapping[str, list[Any] | dict[str, Table]],
    vary: Mapping[str, list[Any]],
    exceptions: Sequence[Override],
    path: Path,
    *,
    only: Conditions,
    settings: Mapping[str, Any],
) -> list[PlannedCell]:
    """The cells of a grid.

    Args:
        run: what all cells share.
        axes: values of a key, or named variants.
        vary: keys that take their values one at a time, the others as in `run`.
        exceptions: laid over the cells they name.
        path: the grid's file, for messages.
        only: the cells that are asked for; the runs of others are not checked. Empty: all.
        settings: by dotted key, laid over the run of every cell at last, and said in its name and place.

    Raises:
        HarnessError: one line about the first faulty cell, or no cell fits `only`.
    """
    variants = {axis: _variants(axis, values) for axis, values in axes.items()}
    if vary:
        variants[PARAMETER] = _one_at_a_time(vary)
    if settings:
        words = " ".join(f"{key}={format_value(value)}" for key, value in settings.items())
        variants["--set"] = [_Variant(words, {key: format_value(value) for key, value in settings.items()}, {})]
    over = laid(settings)
    count = prod(map(len, variants.values()))
    if count > MOST:
        sizes = " x ".join(f"{axis}: {len(values)}" for axis, values in variants.items())
        raise HarnessError(
            f"{path}: the axes give {count:,} cells ({sizes}); accepted: up to {MOST:,}; make them shorter, or search "
            "with `harness sweep`"
        )
    # Under the axes too: what an axis says of a component is said of the one that is set.
    places = list(_product(merge(run, over), variants, exceptions, over))
    cells = [place.cell(path) for place in fitting(places, _on_axes(only), path.stem)]
    if vary:  # A varied key may pass through the run's own value: that cell is the base cell.
        base = {cell.fingerprint for cell in cells if cell.place[PARAMETER] == BASE}
        cells = [cell for cell in cells if cell.place[PARAMETER] == BASE or cell.fingerprint not in base]
    return fitting(cells, only, path.stem)


def fitting(cells: Sequence[T], only: Conditions, grid: str) -> list[T]:
    """The cells whose value on each of these axes is one of these values.

    Raises:
        HarnessError: no such axis, or no cell fits.
    """
    axes = axis_values(cells)
    for axis in only:
        if axis not in axes:
            raise HarnessError(f"--only {axis}: {grid} has no such axis; {suggest(axis, axes)}")
    chosen = [c for c in cells if all(str(c.place[axis]) in values for axis, values in only.items())]
    if only and not chosen:
        have = "; ".join(f"{axis} = {', '.join(map(str, axes[axis]))}" for axis in only)
        raise HarnessError(f"--only: no cell of {grid} fits; it has {have}")
    return chosen


def axis_values(cells: Sequence[_Placed]) -> dict[str, list[Any]]:
    """Every axis with the values that these cells have on it, in order."""
    values: dict[str, list[Any]] = {}
    for cell in cells:
        for axis, value in cell.place.items():
            if value not in values.setdefault(axis, []):
                values[axis].append(value)
    return values


def _on_axes(only: Conditions) -> Conditions:
    """Without those of [vary], whose cells are only known once the base cell is."""
    return {axis: values for axis, values in only.items() if axis not in (PARAMETER, VALUE)}


@dataclass(frozen=True)
class _Variant:
    """One value of an axis: what it is called, what it adds to the cell's place, what it lays over the run."""

    name: str
    place: dict[str, Any]
    run: Table


def _variants(axis: str, values: list[Any] | dict[str, Table]) -> list[_Variant]:
    if isinstance(values, dict):
        return [_Variant(name, {axis: name}, table) for name, table in values.items()]
    return [_Variant(_name(axis, value), {axis: format_value(value)}, nested(axis, value)) for value in values]


def _one_at_a_time(vary: Mapping[str, list[Any]]) -> list[_Variant]:
    """The run as it is, then each key at each of its values."""
    settings = [_Variant("base", {PARAMETER: BASE, VALUE: ""}, {})]
    for key, values in vary.items():
        for value in values:
            place = {PARAMETER: key, VALUE: format_value(value)}
            settings.append(_Variant(_name(key.rpartition(".")[2], value), place, nested(key, value)))
    return settings


def format_value(value: Any) -> Any:
    """A value as it is typed after --only and written in names: a list as "7-7-32", no value as "none"."""
    if value is None:
        return "none"
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else value


def _name(axis: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{axis}={format_value(value)}"


def _product(
    run: Table, axes: dict[str, list[_Variant]], exceptions: Sequence[Override], over: Table
) -> Iterator[_Unchecked]:
    for chosen in product(*axes.values()):
        place: dict[str, Any] = {}
        table = run
        for variant in chosen:
            place |= variant.place
            table = merge(table, variant.run)
        for exception in exceptions:
            if all(_fits(place[axis], accepted) for axis, accepted in exception.where.items()):
                table = merge(table, exception.run)
        yield _Unchecked(" ".join(variant.name for variant in chosen), place, merge(table, over))


def _fits(value: Any, accepted: Any) -> bool:
    return value in accepted if isinstance(accepted, list) else value == accepted
