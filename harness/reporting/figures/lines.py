"""A metric over an axis, most often the noise rate, one line a method: ours filled and solid, published hollow and
dashed."""

import statistics
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.grids import CellSpec
from harness.reporting.figure_spec import Lines
from harness.reporting.figures import style
from harness.reporting.published import Published
from harness.reporting.spec import Key, Report
from harness.reporting.table import lookup, places, seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


COLUMNS = 4  # panels beside each other; more go in rows of three


@dataclass
class Line:
    """One series: x, mean and spread of ours; x and value as published."""

    label: str
    ours: list[tuple[float, float, float]] = field(default_factory=list)
    published: list[tuple[float, float]] = field(default_factory=list)


def lines(
    report: Report,
    spec: Lines,
    planned: list[CellSpec],
    records: pd.DataFrame,
    published: Published | None,
    panel: Any = None,
) -> dict[Any, Line]:
    """The lines of one panel by the value of their axis; then one for each published row alone."""
    where = {**report.where, **spec.where, **({spec.panels: [panel]} if spec.panels else {})}
    found: dict[Any, Line] = {}
    for (series, x), cells in places(report, planned, [spec.series, spec.x], where).items():
        line = found.setdefault(series, Line(report.word(spec.series, series)))
        values = seeds(records, cells, spec.y, spec.split, report.protocol)
        if values:
            line.ours.append((float(x), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0))
        value = lookup(published, cells[0]) if spec.split == "test" else None
        if value is not None and spec.y in value.metrics:
            line.published.append((float(x), value.metrics[spec.y]))
    if published is not None and spec.split == "test" and spec.x == "noise.rate":
        for key in published.spec.also:
            if spec.panels == "backbone" and key.backbone != panel:
                continue
            for x in sorted({float(c.labels[spec.x]) for c in planned}):
                value = published.find(key.method, key.backbone, x)
                if value is not None and spec.y in value.metrics:
                    also = found.setdefault(key, Line(value.printed_name))
                    also.published.append((x, value.metrics[spec.y]))
    return {series: line for series, line in found.items() if line.ours or line.published}


def draw(
    report: Report,
    spec: Lines,
    planned: list[CellSpec],
    records: pd.DataFrame,
    published: Published | None,
    subtitle: str,
) -> "Figure":
    """The figure; with nothing finished yet it says so."""
    axes_of = [spec.panels, spec.series, spec.x] if spec.panels else [spec.series, spec.x]
    at = places(report, planned, axes_of, {**report.where, **spec.where})
    panels = list(dict.fromkeys(place[0] for place in at)) if spec.panels else [None]
    found = {panel: lines(report, spec, planned, records, published, panel) for panel in panels}
    every = [line for panel in found.values() for line in panel.values()]
    if any(line.published for line in every):
        subtitle += "; filled, solid: ours; hollow, dashed: published"
    looks = _looks(list(dict.fromkeys(series for panel in found.values() for series in panel)))
    if len(panels) == 1:
        made, [axes] = style.figure(7.2, 4.4)
        style.head(made, report.title, subtitle)
        _draw_lines(axes, report, spec, found[panels[0]], looks)
        if every:
            _label(axes, found[panels[0]], spec.highlight, looks)
        return made
    columns = len(panels) if len(panels) <= COLUMNS else 3
    rows = -(-len(panels) // columns)
    made, several = style.figure(1.0 + 3.0 * columns, 1.4 + 2.9 * rows, rows, columns, sharey=True)
    style.head(made, report.title, subtitle)
    for axes in several[len(panels) :]:
        axes.set_axis_off()
    for panel, axes in zip(panels, several, strict=False):
        axes.set_title(report.word(spec.panels or "", panel), fontsize=10)
        _draw_lines(axes, report, spec, found[panel], looks)
        if axes not in several[::columns]:
            axes.set_ylabel("")
        if axes not in several[-columns:]:
            axes.set_xlabel("")
    handles = {
        line.label if line.ours else f"{line.label} (published)": axes.plot([], [], **looks[series])[0]
        for panel in found.values()
        for series, line in panel.items()
    }
    style.legend(made, handles)
    return made


def _draw_lines(
    axes: "Axes", report: Report, spec: Lines, found: dict[Any, Line], looks: dict[Any, dict[str, Any]]
) -> None:
    axes.set_xlabel("Noise rate of the training pairs" if spec.x == "noise.rate" else report.heading(spec.x))
    axes.set_ylabel(f"{report.heading(spec.y)}, {spec.split} split")
    if not found:
        style.nothing(axes)
        return
    for series, line in found.items():
        strong = series == spec.highlight
        if line.published:
            x, y = zip(*line.published, strict=True)
            axes.plot(x, y, linestyle="--", linewidth=1.1, markerfacecolor="white", zorder=3, **looks[series])
        if line.ours:
            x, y, spread = zip(*line.ours, strict=True)
            axes.errorbar(
                x, y, spread if any(spread) else None, linewidth=2.6 if strong else 1.6, capsize=2.5,
                elinewidth=1.0, zorder=5 if strong else 4, **looks[series],
            )  # fmt: skip
    if spec.x == "noise.rate":
        ticks = sorted({point[0] for line in found.values() for point in (*line.ours, *line.published)})
        axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])


def _looks(found: list[Any]) -> dict[Any, dict[str, Any]]:
    """A colour and marker for each line; grey for what only the literature has."""
    ours = cycle(zip(style.COLOURS, style.MARKERS, strict=True))
    others = cycle(style.MARKERS)
    looks = {}
    for series in found:
        colour, marker = (style.GREY, next(others)) if isinstance(series, Key) else next(ours)
        looks[series] = {"color": colour, "marker": marker}
    return looks


def _label(axes: "Axes", found: dict[Any, Line], highlight: str | None, looks: dict[Any, dict[str, Any]]) -> None:
    """Each line's name at its right end, moved up or down where names would overlap."""
    low, high = axes.get_ylim()
    ends = [max(line.ours)[:2] if line.ours else max(line.published) for line in found.values()]
    heights = [0.0] * len(ends)
    for x in {x for x, _ in ends}:
        here = [number for number, end in enumerate(ends) if end[0] == x]
        placed = style.spread([ends[number][1] for number in here], 0.058 * (high - low), low, high)
        for number, height in zip(here, placed, strict=True):
            heights[number] = height
    for (series, line), (x, _), height in zip(found.items(), ends, heights, strict=True):
        axes.annotate(
            line.label if line.ours else f"{line.label} (published)", (x, height), (10, 0),
            textcoords="offset points", va="center", color=looks[series]["color"], annotation_clip=False,
            fontweight="bold" if series == highlight else "normal",
        )  # fmt: skip
    axes.set_ylim(low, high)
