"""One grid = one claim of a paper: what all cells share, the axes they differ on, and exceptions by cell.

title = "..."                    # what `harness list` shows
claim = "..."                    # what the grid is meant to show

[run]                            # shared by every cell; see harness/spec/run.py
dataset = "flickr30k"
noise = "caption_level"
backbone = "vse_infinity"

[axes]                           # the grid is their product
"noise.rate" = [0.0, 0.2, 0.4]   # a key of the run and its values
seed = [0, 1, 2]

[axes.method.crcl]               # or named variants, each laying several keys over the run
method.name = "crcl"

[[exception]]                    # cells on which the paper differs
where = { method = "crcl", "noise.rate" = [0.8] }
run.method.tau = 0.04

[ensembles]                      # after training: the mean similarity of cells that differ in their backbone alone
sgraf = ["saf", "sgr"]

[smoke]                          # `--smoke`: the same grid in minutes
axes = { "noise.rate" = [0.4] }
run = { dataset = "twemoji" }
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.errors import HarnessError, suggest
from harness.grids.resolve import resolve_run
from harness.grids.rooms import find, read_toml
from harness.grids.tables import Table, merge, nested
from harness.spec import RunSpec, fingerprint
from harness.spec.explain import explain
from harness.spec.run import Strict


class _Exception(Strict):
    where: dict[str, Any]
    run: dict[str, Any]


class _Smoke(Strict):
    run: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Any] = Field(default_factory=dict)


class _File(Strict):
    title: str
    claim: str = ""
    run: dict[str, Any]
    axes: dict[str, list[Any] | dict[str, dict[str, Any]]] = Field(default_factory=dict)
    exception: list[_Exception] = Field(default_factory=list)
    ensembles: dict[str, Annotated[list[str], Field(min_length=2)]] = Field(default_factory=dict)
    smoke: _Smoke = _Smoke()


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


@dataclass(frozen=True)
class Grid:
    """A checked grid."""

    name: str
    title: str
    claim: str
    path: Path
    axes: dict[str, list[Any]]
    cells: list[CellSpec]
    ensembles: dict[str, list[str]]  # name -> labels on the axis `backbone`

    def teams(self, cells: Sequence[CellSpec]) -> Iterator[tuple[str, list[CellSpec]]]:
        """Name and members of every ensemble whose members are all among `cells`."""
        for name, backbones in self.ensembles.items():
            places: dict[str, dict[str, CellSpec]] = {}
            for cell in cells:
                place = {axis: label for axis, label in cell.labels.items() if axis != "backbone"}
                places.setdefault(str(place), {})[cell.labels["backbone"]] = cell
            for found in places.values():
                if all(backbone in found for backbone in backbones):
                    yield name, [found[backbone] for backbone in backbones]

    def only(self, conditions: dict[str, list[str]]) -> list[CellSpec]:
        """The cells whose label on each of these axes is one of these values, as typed on a command line.

        Raises:
            HarnessError: no such axis, or no cell fits.
        """
        for axis in conditions:
            if axis not in self.axes:
                raise HarnessError(f"--only {axis}: {self.name} has no such axis; {suggest(axis, self.axes)}")
        chosen = [c for c in self.cells if all(str(c.labels[a]) in values for a, values in conditions.items())]
        if not chosen:
            have = "; ".join(f"{axis} = {', '.join(map(str, self.axes[axis]))}" for axis in conditions)
            raise HarnessError(f"--only: no cell of {self.name} fits; it has {have}")
        return chosen


def load_grid(word: str | Path, *, smoke: bool = False) -> Grid:
    """A grid by path or name, expanded and checked.

    Raises:
        HarnessError: one line about the first faulty cell: file, key, value, what is accepted.
    """
    path = find(str(word), "experiments")
    try:
        file = _File(**read_toml(path))
    except ValidationError as error:
        raise HarnessError(explain(error, where=str(path), accepted=_File.model_fields)) from None
    run, axes = file.run, file.axes
    if smoke:
        run, axes = merge(run, file.smoke.run), {**axes, **file.smoke.axes}
    name = path.stem + ("-smoke" if smoke else "")
    for exception in file.exception:
        for axis in exception.where:
            if axis not in axes:
                raise HarnessError(f"{path}: exception.where: {axis!r} is no axis; {suggest(axis, axes)}")
    backbones = axes.get("backbone", [])
    ensembles = {}
    for ensemble, members in file.ensembles.items():
        absent = [member for member in members if member not in backbones]
        if absent and not smoke:
            where = f"{path}: ensembles.{ensemble}: {absent[0]!r} is not on the axis backbone"
            raise HarnessError(f"{where}; {suggest(absent[0], backbones)}")
        if not absent:
            ensembles[ensemble] = members
    cells = list(_expand(run, axes, file.exception, path))
    _refuse_twins(cells, path)
    axis_values = {axis: list(values) for axis, values in axes.items()}
    return Grid(name, file.title, file.claim, path, axis_values, cells, ensembles)


def _expand(run: Table, axes: dict[str, Any], exceptions: list[_Exception], path: Path) -> Iterator[CellSpec]:
    for labels_tuple in product(*axes.values()):
        labels = dict(zip(axes, labels_tuple, strict=True))
        table = run
        for axis, label in labels.items():
            values = axes[axis]
            table = merge(table, values[label] if isinstance(values, dict) else nested(axis, label))
        for exception in exceptions:
            if all(_fits(labels[axis], accepted) for axis, accepted in exception.where.items()):
                table = merge(table, exception.run)
        name = " ".join(value if isinstance(value, str) else f"{axis}={value}" for axis, value in labels.items())
        spec = resolve_run(table, f"{path}: cell '{name}'" if name else str(path))
        yield CellSpec(name or path.stem, labels, spec, fingerprint(spec))


def _fits(label: Any, accepted: Any) -> bool:
    return label in accepted if isinstance(accepted, list) else label == accepted


def _refuse_twins(cells: list[CellSpec], path: Path) -> None:
    seen: dict[str, CellSpec] = {}
    for cell in cells:
        twin = seen.setdefault(cell.fingerprint, cell)
        if twin is not cell:
            raise HarnessError(f"{path}: cells '{twin.name}' and '{cell.name}' are the same run; drop one")
