"""A table as data: which rows, which numbers, which are best. Knows no format."""

import statistics
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.errors import HarnessError, suggest
from harness.evaluation.measures import MEASURES
from harness.grids import CellSpec
from harness.grids.expand import VALUE
from harness.reporting.frame import DEV
from harness.reporting.published import Published, PublishedValue
from harness.reporting.spec import Report
from harness.reporting.vary import base_runs, place_base

Place = tuple[Any, ...]  # one value for each axis of the rows


@dataclass
class Entry:
    """One metric of one row: ours over the finished seeds, and what is printed.

    Attributes:
        best: the best of its group, as printed.
        p: of the paired bootstrap against the best, adjusted; None where nothing was judged.
        tied: judged, and not distinguishable from the best.
    """

    seeds: list[float] = field(default_factory=list)
    published: float | None = None
    best: bool = False
    p: float | None = None
    tied: bool = False

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.seeds) if self.seeds else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation; one seed has none."""
        return statistics.stdev(self.seeds) if len(self.seeds) > 1 else None

    @property
    def difference(self) -> float | None:
        return None if self.mean is None or self.published is None else self.mean - self.published


@dataclass
class Row:
    """A place on the axes, in words for print. `planned` is empty for a row of the literature alone."""

    place: Place
    words: list[str]
    planned: list[CellSpec]
    entries: dict[str, Entry]
    published: PublishedValue | None

    @property
    def n(self) -> int:
        return max((len(entry.seeds) for entry in self.entries.values()), default=0)


@dataclass
class Group:
    """The rows that share the values of the outermost axes: what is best is best among them."""

    place: Place
    rows: list[Row]


def places(
    report: Report, planned: list[CellSpec], axes: list[str], where: dict[str, list[Any]]
) -> dict[Place, list[CellSpec]]:
    """The planned cells by their place on `axes`, in the order of the report's values, then of the grid.

    Raises:
        HarnessError: no such axis; no cell fits; or cells that differ in more than the seed share a place.
    """
    known = {axis: None for cell in planned for axis in cell.labels}
    for axis in [*axes, *where]:
        if axis not in known:
            raise HarnessError(
                f"{report.name}: {axis!r} is no axis of {', '.join(report.grids)}; {suggest(axis, known)}"
            )
    chosen = [c for c in place_base(planned) if all(c.labels.get(axis) in values for axis, values in where.items())]
    if not chosen:
        raise HarnessError(f"{report.name}: where = {where}: no cell of {', '.join(report.grids)} fits")
    for axis in axes:
        outside = next((c for c in chosen if axis not in c.labels), None)
        if outside is not None:
            raise HarnessError(f"{report.name}: the cell '{outside.name}' has no {axis!r}; choose others with where")
    hidden = [
        axis for axis in known if axis not in (*axes, "seed") and len({str(c.labels.get(axis)) for c in chosen}) > 1
    ]
    if hidden:
        raise HarnessError(
            f"{report.name}: the cells also differ in {hidden[0]!r}, which must not be averaged over; "
            f"add it to the rows or choose with where = {{ {hidden[0]!r} = [...] }}"
        )
    order = {axis: _order(report, axis, chosen) for axis in axes}
    found: dict[Place, list[CellSpec]] = {}
    for cell in chosen:
        found.setdefault(tuple(cell.labels[axis] for axis in axes), []).append(cell)
    return dict(sorted(found.items(), key=lambda item: [order[a][str(v)] for a, v in zip(axes, item[0], strict=True)]))


def _order(report: Report, axis: str, cells: list[CellSpec]) -> dict[str, float]:
    """Named values first, in the order they are named; the rest as the grid has them, varied numbers by size."""
    have = {str(cell.labels[axis]): cell.labels[axis] for cell in cells}
    named = [value for value in report.values.get(axis, {}) if value in have]
    rest = [value for value in have if value not in named]
    if axis == VALUE:
        rest.sort(key=lambda value: have[value] if isinstance(have[value], int | float) else float("inf"))
    return {value: number for number, value in enumerate([*named, *rest])}


def finished(records: pd.DataFrame, cells: list[CellSpec], metric: str, split: str, protocol: str) -> dict[str, float]:
    """A metric of the finished ones among `cells` by fingerprint, in their order."""
    wanted = protocol if split == "test" else DEV
    rows = records[(records["split"] == split) & (records["protocol"] == wanted)].set_index("fingerprint")[metric]
    found = {cell.fingerprint: rows.get(cell.fingerprint) for cell in cells}
    return {fingerprint: float(value) for fingerprint, value in found.items() if pd.notna(value)}


def seeds(records: pd.DataFrame, cells: list[CellSpec], metric: str, split: str, protocol: str) -> list[float]:
    """The values of `finished` alone."""
    return list(finished(records, cells, metric, split, protocol).values())


def lookup(published: Published | None, cell: CellSpec) -> PublishedValue | None:
    """What is printed for a planned cell.

    Raises:
        HarnessError: the cell's noise is of another kind than the report compares with.
    """
    if published is None:
        return None
    noise = cell.run.noise
    rate = noise.parameters.get("rate")
    if rate and noise.name not in (published.spec.noise_kind, *published.spec.noise_models):
        raise HarnessError(
            f"{published.path}: the report compares with {published.spec.noise_kind} noise, "
            f"cell '{cell.name}' has {noise.name}: they must not stand in one table"
        )
    if published.spec.noise_kind == "real":
        rate = None
    return published.find(cell.run.method.name, cell.run.backbone.name, rate)


def build(report: Report, planned: list[CellSpec], records: pd.DataFrame, published: Published | None) -> list[Group]:
    """The table of a report: every planned row, finished or not, then what only the literature has."""
    groups: dict[Place, Group] = {}
    base = base_runs(planned)
    for place, cells in places(report, planned, report.rows, report.where).items():
        value = lookup(published, cells[0])
        entries = {
            metric: Entry(
                seeds(records, cells, metric, report.split, report.protocol),
                (value.metrics if value else {}).get(metric),
            )
            for metric in MEASURES
        }
        words = [report.word(axis, v) for axis, v in zip(report.rows, place, strict=True)]
        if base.issuperset(cell.fingerprint for cell in cells):
            words[-1] += " (base)"
        shared = place[: len(report.grouped_by)]
        group = groups.setdefault(shared, Group(shared, []))
        group.rows.append(Row(place, words, cells, entries, value))
    for group in groups.values():
        _mark_best(group)
        group.rows += _only_published(report, group, published)
    return list(groups.values())


def _mark_best(group: Group) -> None:
    for metric in MEASURES:
        entries = [e for row in group.rows if (e := row.entries[metric]).mean is not None]
        means = [round(e.mean, 1) for e in entries if e.mean is not None]  # as printed: what looks equal is equal
        if len(means) > 1:
            best = max(means) if MEASURES[metric].higher_is_better else min(means)
            for entry, mean in zip(entries, means, strict=True):
                entry.best = mean == best


def _only_published(report: Report, group: Group, published: Published | None) -> list[Row]:
    """The report's `also` at this noise rate, or under real noise, where sourced."""
    if published is None:
        return []
    rate = group.place[0] if group.place else None  # none: real noise, in one group
    rows = []
    for key in published.spec.also:
        value = published.find(key.method, key.backbone, rate)
        if value is not None:
            own = {"noise.rate": rate, "backbone": key.backbone, "method": key.method}
            place = tuple(own.get(axis, "") for axis in report.rows)
            words = [report.word(axis, own[axis]) if axis in own else "" for axis in report.rows]
            words[report.rows.index("method") if "method" in report.rows else -1] = value.printed_name
            entries = {metric: Entry(published=value.metrics.get(metric)) for metric in MEASURES}
            rows.append(Row(place, words, [], entries, value))
    return rows
