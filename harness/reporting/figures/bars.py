"""A metric by the values of one axis, as bars from zero with their figures; side by side for those of another axis."""

import statistics
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.grids import CellSpec
from harness.reporting.figure_spec import Bars
from harness.reporting.figures import style
from harness.reporting.spec import Report
from harness.reporting.table import places, seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Bar = tuple[float, float] | None  # mean and standard deviation over seeds (0 for one seed); None: no run yet


def bars(report: Report, spec: Bars, planned: list[CellSpec], records: pd.DataFrame) -> dict[Any, dict[Any, Bar]]:
    """Value of x -> value of the series -> bar; without a series its one value is None."""
    axes = [spec.x, spec.series] if spec.series else [spec.x]
    found: dict[Any, dict[Any, Bar]] = {}
    for place, cells in places(report, planned, axes, {**report.where, **spec.where}).items():
        values = seeds(records, cells, spec.y, spec.split, report.protocol)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        bar = (statistics.fmean(values), spread) if values else None
        found.setdefault(place[0], {})[place[1] if spec.series else None] = bar
    return found


def draw(report: Report, spec: Bars, planned: list[CellSpec], records: pd.DataFrame, subtitle: str) -> "Figure":
    """Horizontal bars, so that long names can be read; a missing one is an empty place with a dash."""
    from matplotlib.patches import Patch

    found = bars(report, spec, planned, records)
    series = list(dict.fromkeys(value for each in found.values() for value in each))
    colours = {value: style.COLOURS[number % len(style.COLOURS)] for number, value in enumerate(series)}
    thick = 0.8 / len(series)
    made, [axes] = style.figure(7.2, 1.5 + len(found) * max(0.34, 0.2 * len(series)))
    style.head(made, report.title, subtitle)
    axes.grid(visible=False)
    axes.set_xlabel(f"{report.heading(spec.y)}, {spec.split} split")
    longest = max((bar[0] + bar[1] for each in found.values() for bar in each.values() if bar), default=1.0)
    for number, value in enumerate(series):
        for place, each in enumerate(found.values()):
            if value not in each:
                continue
            height, bar = place + (number - (len(series) - 1) / 2) * thick, each[value]
            if bar is not None:
                axes.barh(
                    height, bar[0], height=0.92 * thick, color=colours[value], xerr=bar[1] or None,
                    error_kw={"elinewidth": 1.0, "capsize": 2.0, "ecolor": style.INK},
                )  # fmt: skip
            axes.annotate(
                f"{bar[0]:.1f}" if bar else "–", (bar[0] + bar[1] if bar else 0.0, height), (4, 0),
                textcoords="offset points", va="center", fontsize=8, color=style.INK if bar else style.GREY,
            )  # fmt: skip
    axes.set_yticks(range(len(found)), [report.word(spec.x, value) for value in found])
    axes.set_xlim(0, 1.1 * longest)
    axes.set_ylim(len(found) - 0.4, -0.6)  # the first on top
    if spec.series:
        style.legend(made, {report.word(spec.series, value): Patch(color=look) for value, look in colours.items()})
    return made
