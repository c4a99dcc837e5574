"""Which runs stand together: the runs of a report by their place on some axes of its grids."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from harness.errors import HarnessError, suggest
from harness.grids.expand import BASE, PARAMETER, VALUE
from harness.reporting.declaration import Report
from harness.reporting.runs import Run
from harness.tracking.records import flatten

Place = tuple[Any, ...]  # one value for each axis
SEEDS = ("seed", "noise.path", "noise.sha256")  # keys that one row's runs may differ in


def runs_by_place(
    report: Report, runs: list[Run], axes: list[str], where: dict[str, list[Any]]
) -> dict[Place, list[Run]]:
    """The runs by their place on `axes`, in the order of the report's values, then of the grid.

    Raises:
        HarnessError: no such axis; no run fits; or runs that differ in more than the seed share a place.
    """
    grids = ", ".join(report.grids)
    known = {axis: None for run in runs for axis in run.planned.place}
    for axis in [*axes, *where]:
        if axis not in known:
            raise HarnessError(f"{report.name}: {grids} has no axis {axis!r}; {suggest(axis, known)}")
    chosen = [
        run for run in place_base(runs) if all(run.planned.place.get(axis) in values for axis, values in where.items())
    ]
    if not chosen:
        raise HarnessError(f"{report.name}: where = {where}: no cell of {grids} fits")
    for axis in axes:
        outside = next((run for run in chosen if axis not in run.planned.place), None)
        if outside is not None:
            raise HarnessError(
                f"{report.name}: the cell '{outside.planned.name}' has no {axis!r}; choose others with where"
            )
    for axis in known:
        if axis not in (*axes, "seed") and len({str(run.planned.place.get(axis)) for run in chosen}) > 1:
            raise HarnessError(
                f"{report.name}: the cells also differ in {axis!r}, which must not be averaged over; "
                f"add it to the rows or choose with where = {{ {axis!r} = [...] }}"
            )
    order = {axis: _order(report, axis, chosen) for axis in axes}
    found: dict[Place, list[Run]] = {}
    for run in chosen:
        found.setdefault(tuple(run.planned.place[axis] for axis in axes), []).append(run)
    for here in found.values():
        _refuse_mixed(report, here)
    return dict(sorted(found.items(), key=lambda item: [order[a][str(v)] for a, v in zip(axes, item[0], strict=True)]))


def _refuse_mixed(report: Report, runs: list[Run]) -> None:
    """Runs in one place are seeds of one setting: an exception of a grid, or a second grid, may make them differ in a
    key that is no axis. A noise file may differ from seed to seed, as drawn noise does."""
    first, *others = ((run.planned, dict(flatten(run.planned.run.table()))) for run in runs)
    for spec, settings in others:
        for key in {**first[1], **settings}:
            if key not in SEEDS and first[1].get(key) != settings.get(key):
                raise HarnessError(
                    f"{report.name}: the cells '{first[0].name}' and '{spec.name}' share a row but differ in {key}; "
                    "accepted: cells that differ in the seed alone; make it an axis of the grid, or choose with where"
                )


def _order(report: Report, axis: str, runs: list[Run]) -> dict[str, float]:
    """Named values first, in the order they are named; the rest as the grid has them, varied numbers by size."""
    have = {str(run.planned.place[axis]): run.planned.place[axis] for run in runs}
    named = [value for value in report.values.get(axis, {}) if value in have]
    rest = [value for value in have if value not in named]
    if axis == VALUE:
        rest.sort(key=lambda value: have[value] if isinstance(have[value], int | float) else float("inf"))
    return {value: number for number, value in enumerate([*named, *rest])}


def base_runs(runs: Iterable[Run]) -> set[str]:
    """The fingerprints of the run that the others of a [vary] differ from in one value; one for each place on the
    other axes."""
    return {run.fingerprint for run in runs if run.planned.place.get(PARAMETER) == BASE}


def place_base(runs: list[Run]) -> list[Run]:
    """The runs with the base in the row of each hyperparameter, at its own value, as the same run in other places.

    A grid without [vary] stays as it is, and so does one of which nothing but the base is left.
    """
    names = (run.planned.place.get(PARAMETER, BASE) for run in runs)
    varied = list(dict.fromkeys(name for name in names if name != BASE))
    placed = []
    for run in runs:
        if run.planned.place.get(PARAMETER) != BASE or not varied:
            placed.append(run)
            continue
        settings = dict(flatten(run.planned.run.table()))
        for key in varied:
            value = settings.get(key)
            value = "-".join(map(str, value)) if isinstance(value, list) else value  # as a grid names it
            place = {**run.planned.place, PARAMETER: key, VALUE: value}
            placed.append(replace(run, planned=replace(run.planned, place=place)))
    return placed
