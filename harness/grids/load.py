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

[vary]                           # or one key at a time, every other as in [run]; the run itself is one more cell
"method.beta" = [0.0, 0.5, 1.0]  # cells "base", "beta=0.0", ...: labels parameter = "method.beta", value = 0.0

[[exception]]                    # cells on which the paper differs
where = { method = "crcl", "noise.rate" = [0.8] }
run.method.tau = 0.04

[ensembles]                      # after training: the mean similarity of cells that differ in their backbone alone
sgraf = ["saf", "sgr"]

[smoke]                          # `--smoke`: the same grid in minutes
axes = { "noise.rate" = [0.4] }
run = { dataset = "twemoji" }
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.errors import HarnessError, suggest
from harness.grids.expand import PARAMETER, VALUE, Conditions, Override, PlannedCell, axis_values, expand
from harness.grids.grid import Grid
from harness.grids.overrides import refuse_axes
from harness.grids.remember import remember
from harness.grids.rooms import find, name_of, read_toml
from harness.grids.tables import merge
from harness.ledger.command import SMALL
from harness.spec.explain import explain
from harness.spec.run import Strict

Values = Annotated[list[Any] | dict[str, dict[str, Any]], Field(min_length=1)]  # of an axis: values, or named variants


class _Smoke(Strict):
    run: dict[str, Any] = Field(default_factory=dict)
    axes: dict[str, Any] = Field(default_factory=dict)
    vary: dict[str, Any] | None = None  # in place of the whole section


class _File(Strict):
    title: str
    claim: str = ""
    run: dict[str, Any]
    axes: dict[str, Values] = Field(default_factory=dict)
    vary: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    exception: list[Override] = Field(default_factory=list)
    ensembles: dict[str, Annotated[list[str], Field(min_length=2)]] = Field(default_factory=dict)
    smoke: _Smoke = _Smoke()


def load_grid(
    word: str | Path,
    *,
    smoke: bool = False,
    only: Conditions | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Grid:
    """A grid by path or name, expanded and checked.

    Args:
        word: a name in experiments/ or a .toml file.
        smoke: with its [smoke] settings; it is called NAME-smoke.
        only: the cells that are asked for: axis -> values as typed on a command line. None: all.
        settings: laid over the run of every cell: dotted key -> value.

    Raises:
        HarnessError: one line about the first faulty cell: file, key, value, what is accepted.
    """
    path = find(str(word), "experiments")
    table, name = read_toml(path), name_of(path, "experiments") + (SMALL if smoke else "")
    only, settings = only or {}, settings or {}
    given = [name, path.stem, table, smoke, dict(only), dict(settings)]
    return remember(given, path, lambda: _load(name, path, table, smoke, only, settings))


def _load(
    name: str, path: Path, table: dict[str, Any], smoke: bool, only: Conditions, settings: Mapping[str, Any]
) -> Grid:
    try:
        file = _File(**table)
    except ValidationError as error:
        raise HarnessError(explain(error, where=str(path), accepted=_File.model_fields)) from None
    run, axes, vary = file.run, file.axes, file.vary
    if smoke:
        run, axes = merge(run, file.smoke.run), {**axes, **file.smoke.axes}
        vary = vary if file.smoke.vary is None else file.smoke.vary
    known = [*axes, *((PARAMETER, VALUE) if vary else ())]
    for exception in file.exception:
        for axis in exception.where:
            if axis not in known:
                raise HarnessError(f"{path}: exception.where: {axis!r} is no axis; {suggest(axis, known)}")
    refuse_axes(settings, {**axes, **vary}, name)
    ensembles = _ensembles(file, axes.get("backbone", []), path, smoke=smoke)
    cells = expand(run, axes, vary, file.exception, path, only=only, settings=settings)
    _refuse_twins(cells, path)
    return Grid(name, file.title, file.claim, path, axis_values(cells), cells, ensembles)


def _ensembles(file: _File, backbones: Iterable[str], path: Path, *, smoke: bool) -> dict[str, list[str]]:
    """Those whose members are all on the axis; a smoke grid may lack some."""
    ensembles = {}
    for ensemble, members in file.ensembles.items():
        absent = [member for member in members if member not in backbones]
        if absent and not smoke:
            where = f"{path}: ensembles.{ensemble}: {absent[0]!r} is not on the axis backbone"
            raise HarnessError(f"{where}; {suggest(absent[0], backbones)}")
        if not absent:
            ensembles[ensemble] = members
    return ensembles


def _refuse_twins(cells: list[PlannedCell], path: Path) -> None:
    seen: dict[str, PlannedCell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.fingerprint, cell)
        if twin is not cell:
            raise HarnessError(f"{path}: cells '{twin.name}' and '{cell.name}' are the same run; drop one")
