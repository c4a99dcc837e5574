"""One metric over each hyperparameter by itself, on one scale: a grid's [vary], its base run marked in each panel."""

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.errors import HarnessError
from harness.grids import CellSpec
from harness.grids.expand import BASE, PARAMETER, VALUE
from harness.reporting.figure_spec import Pieces, Sensitivity
from harness.reporting.figures import style
from harness.reporting.spec import Report
from harness.reporting.table import places, seeds
from harness.reporting.vary import base_runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # panels beside each other
FEW = 3  # as many values can all be written below the axis
DECADE = 10.0  # values that span more than this, and are all positive, stand on a logarithmic axis


@dataclass
class Panel:
    """One hyperparameter. A value is a number, or a word for what is none ("7-46"; the rule that the paper uses)."""

    name: str
    points: list[tuple[Any, float, float]] = field(default_factory=list)  # value, mean, standard deviation over seeds
    base: tuple[Any, float, float] | None = None  # one of the points, unless its value is no number


def sensitivity(report: Report, spec: Sensitivity, planned: list[CellSpec], records: pd.DataFrame) -> list[Panel]:
    """A panel for each hyperparameter of the grids, in their order."""
    base = base_runs(planned)
    found: dict[str, Panel] = {}
    for (key, value), cells in places(report, planned, [PARAMETER, VALUE], {**report.where, **spec.where}).items():
        if key != BASE:
            _add(found.setdefault(key, Panel(report.word(PARAMETER, key))), value, cells, base, report, spec, records)
    return list(found.values())


def pieces(report: Report, spec: Pieces, planned: list[CellSpec], records: pd.DataFrame) -> list[Panel]:
    """Two panels from the lengths of the runs' pieces.

    How many: those that train as many epochs as the base run in all. How long: those that have as many pieces and as
    long a last one as the base, over the length of their first. What is neither stands in no panel.
    """
    base = base_runs(planned)
    many, long = Panel("number of pieces, epochs in all as the base"), Panel("epochs of each piece before the last")
    at = places(report, planned, [PARAMETER, VALUE], {**report.where, **spec.where, PARAMETER: ["method.pieces"]})
    lengths = {value: list(map(int, str(value).split("-"))) for _, value in at}
    own = next((lengths[value] for (_, value), cells in at.items() if cells[0].fingerprint in base), None)
    if own is None:
        raise HarnessError(f"{report.name}: figure.where leaves out the base run, which the others are compared with")
    for (_, value), cells in at.items():
        each = lengths[value]
        if sum(each) == sum(own):
            _add(many, len(each), cells, base, report, spec, records)
        if (len(each), each[-1]) == (len(own), own[-1]) and len(set(each[:-1])) == 1:
            _add(long, each[0], cells, base, report, spec, records)
    for panel in (many, long):
        panel.points.sort()
    return [many, long]


def _add(
    panel: Panel, value: Any, cells: list[CellSpec], base: set[str], report: Report,
    spec: Sensitivity | Pieces, records: pd.DataFrame,
) -> None:  # fmt: skip
    values = seeds(records, cells, spec.y, spec.split, report.protocol)
    if not values:
        return
    word = value if isinstance(value, int | float) else report.word(VALUE, value)
    point = (word, statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
    if cells[0].fingerprint in base:
        panel.base = point
    panel.points.append(point)


def draw(report: Report, spec: Sensitivity | Pieces, panels: list[Panel], subtitle: str) -> "Figure":
    """The panels on one scale of the metric, so that a flat one looks flat."""
    columns = min(COLUMNS, len(panels)) or 1
    rows = -(-len(panels) // columns) or 1
    wide = 2.6 if columns > 2 else 3.6
    made, axes = style.figure(0.6 + wide * columns, 0.9 + 2.3 * rows, rows, columns, sharey=True)
    style.head(made, report.title, f"{subtitle}; ring: the base run, the same in every panel")
    for each in axes[len(panels) :]:
        each.set_axis_off()
    for number, (panel, each) in enumerate(zip(panels, axes, strict=False)):
        each.set_xlabel(panel.name)
        if number % columns == 0:
            each.set_ylabel(f"{report.heading(spec.y)}, {spec.split} split")
        _draw_panel(each, panel)
    return made


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    if not panel.points:
        style.nothing(axes)
        return
    numbers = [point for point in panel.points if isinstance(point[0], int | float)]
    if len(numbers) < len(panel.points) - 1 or not numbers:  # words on the axis, but for one that can be a level
        points = [(place, mean, spread) for place, (_, mean, spread) in enumerate(panel.points)]
        axes.set_xticks(range(len(points)), [str(value) for value, _, _ in panel.points], rotation=40, ha="right")
        base = points[panel.points.index(panel.base)] if panel.base else None
        linestyle = "none"
    else:
        points, base, linestyle = numbers, panel.base, "-"
        values = [value for value, _, _ in points]
        if min(values) > 0 and max(values) > DECADE * min(values):
            from matplotlib.ticker import NullLocator

            axes.set_xscale("log")
            shown = [value for value in values if value in _apart([float(each) for each in values])]
            axes.set_xticks(shown, [f"{value:g}" for value in shown])
            axes.xaxis.set_minor_locator(NullLocator())
        elif len(values) <= FEW or all(isinstance(value, int) for value in values):
            axes.set_xticks(sorted(set(values)), [f"{value:g}" for value in sorted(set(values))])
    x, y, spread = zip(*points, strict=True)
    axes.errorbar(
        x, y, spread if any(spread) else None, color=style.COLOURS[0], marker="o", markersize=4, linewidth=1.6,
        linestyle=linestyle, capsize=2.0, elinewidth=1.0,
    )  # fmt: skip
    if base is not None and not isinstance(base[0], int | float):
        axes.axhline(base[1], color=style.COLOURS[1], linewidth=1.0, linestyle="--")
        axes.annotate(
            str(base[0]), (1, base[1]), (-2, 3), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
            ha="right", fontsize=8, color=style.COLOURS[1],
        )  # fmt: skip
    elif base is not None:
        axes.plot(*base[:2], "o", markersize=10, markerfacecolor="none", color=style.COLOURS[1], markeredgewidth=1.6)


def _apart(values: list[float]) -> list[float]:
    """Of positive values those that stand far enough apart on a logarithmic axis to be written below it."""
    kept: list[float] = []
    for value in sorted(values):
        if not kept or value / kept[-1] > (max(values) / min(values)) ** 0.14:
            kept.append(value)
    return kept
