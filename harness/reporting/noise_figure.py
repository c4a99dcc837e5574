"""A metric against the noise rate, one line a method: ours filled and solid, published hollow and dashed."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.grids import CellSpec
from harness.reporting import style
from harness.reporting.published import Published
from harness.reporting.spec import Key, Report
from harness.reporting.table import lookup, places, seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass
class Line:
    """One series: x, mean and spread of ours; x and value as published."""

    label: str
    ours: list[tuple[float, float, float]] = field(default_factory=list)
    published: list[tuple[float, float]] = field(default_factory=list)


def lines(
    report: Report, planned: list[CellSpec], records: pd.DataFrame, published: Published | None
) -> dict[Any, Line]:
    """The lines of a report's figure by the value of their axis; then one for each published row alone."""
    spec = report.figure
    protocol = report.protocol
    found: dict[Any, Line] = {}
    for (series, x), cells in places(report, planned, [spec.series, spec.x], {**report.where, **spec.where}).items():
        line = found.setdefault(series, Line(report.word(spec.series, series)))
        values = seeds(records, cells, spec.y, spec.split, protocol)
        if values:
            line.ours.append((float(x), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0))
        value = lookup(published, cells[0]) if spec.split == "test" else None
        if value is not None and spec.y in value.metrics:
            line.published.append((float(x), value.metrics[spec.y]))
    if published is not None and spec.split == "test" and spec.x == "noise.rate":
        for key in published.spec.also:
            for x in sorted({float(c.labels[spec.x]) for c in planned}):
                value = published.find(key.method, key.backbone, x)
                if value is not None and spec.y in value.metrics:
                    also = found.setdefault(key, Line(value.printed_name))
                    also.published.append((x, value.metrics[spec.y]))
    return {series: line for series, line in found.items() if line.ours or line.published}


def draw(
    report: Report,
    planned: list[CellSpec],
    records: pd.DataFrame,
    published: Published | None,
    subtitle: str,
) -> "Figure":
    """The figure; with nothing finished yet it says so."""
    spec = report.figure
    made, [axes] = style.figure(7.2, 4.4)
    found = lines(report, planned, records, published)
    if any(line.published for line in found.values()):
        subtitle += "; filled, solid: ours; hollow, dashed: published"
    style.title(axes, report.title, subtitle)
    axes.set_xlabel("Noise rate of the training pairs" if spec.x == "noise.rate" else report.heading(spec.x))
    axes.set_ylabel(f"{report.heading(spec.y)}, {spec.split} split")
    if not found:
        axes.text(0.5, 0.5, "no finished runs yet", transform=axes.transAxes, ha="center", color=style.GREY)
        axes.set(xticks=[], yticks=[])
        return made
    for (series, line), look in zip(found.items(), _looks(found), strict=False):
        strong = series == spec.highlight
        if line.published:
            x, y = zip(*line.published, strict=True)
            axes.plot(x, y, linestyle="--", linewidth=1.1, markerfacecolor="white", zorder=3, **look)
        if line.ours:
            x, y, spread = zip(*line.ours, strict=True)
            axes.errorbar(
                x, y, spread if any(spread) else None, linewidth=2.6 if strong else 1.6, capsize=2.5,
                elinewidth=1.0, zorder=5 if strong else 4, **look,
            )  # fmt: skip
    if spec.x == "noise.rate":
        ticks = sorted({point[0] for line in found.values() for point in (*line.ours, *line.published)})
        axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])
    _label(axes, found, spec.highlight)
    return made


def _looks(found: dict[Any, Line]) -> Iterator[dict[str, Any]]:
    """A colour and marker for each line; grey for what only the literature has."""
    ours = cycle(zip(style.COLOURS, style.MARKERS, strict=True))
    others = cycle(style.MARKERS)
    for series in found:
        if isinstance(series, Key):
            yield {"color": style.GREY, "marker": next(others)}
        else:
            colour, marker = next(ours)
            yield {"color": colour, "marker": marker}


def _label(axes: "Axes", found: dict[Any, Line], highlight: str | None) -> None:
    """Each line's name at its right end, moved up or down where names would overlap."""
    low, high = axes.get_ylim()
    ends = [max(line.ours)[:2] if line.ours else max(line.published) for line in found.values()]
    heights = [0.0] * len(ends)
    for x in {x for x, _ in ends}:
        here = [number for number, end in enumerate(ends) if end[0] == x]
        placed = style.spread([ends[number][1] for number in here], 0.058 * (high - low), low, high)
        for number, height in zip(here, placed, strict=True):
            heights[number] = height
    for (series, line), (x, _), height, look in zip(found.items(), ends, heights, _looks(found), strict=False):
        axes.annotate(
            line.label if line.ours else f"{line.label} (published)", (x, height), (10, 0),
            textcoords="offset points", va="center", color=look["color"], annotation_clip=False,
            fontweight="bold" if series == highlight else "normal",
        )  # fmt: skip
    axes.set_ylim(low, high)
