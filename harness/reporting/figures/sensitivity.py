"""One metric over each hyperparameter by itself, on one scale, the base run marked in each panel."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # panels beside each other
FEW = 3  # as many values can all be written below the axis
DECADE = 10.0  # values that span more than this, and are all positive, stand on a logarithmic axis

Point = tuple[Any, float, float]  # value, mean, standard deviation over seeds


@dataclass
class Panel:
    """One hyperparameter. A value is a number, or a word for what is none ("7-46"; the rule that the paper uses)."""

    name: str
    points: list[Point] = field(default_factory=list)
    base: Point | None = None  # one of the points

    def add(self, value: Any, mean: tuple[float, float] | None, base: bool) -> None:
        """A value with its mean and standard deviation, if there is one."""
        if mean is not None:
            self.points.append((value, *mean))
            self.base = self.points[-1] if base else self.base


def draw_panels(panels: list[Panel], title: str, subtitle: str, ylabel: str) -> "Figure":
    """The panels on one scale of the metric, so that a flat one looks flat."""
    columns = min(COLUMNS, len(panels))
    made, axes = style.panels(len(panels), columns, 0.6, 2.6 if columns > 2 else 3.6, 0.9, 2.3)
    style.head(made, title, f"{subtitle}; ring: the base run, the same in every panel")
    for number, (panel, each) in enumerate(zip(panels, axes, strict=True)):
        each.set(xlabel=panel.name, ylabel="" if number % columns else ylabel)
        _draw_panel(each, panel)
    return made


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    if not panel.points:
        style.nothing(axes)
        return
    points = [point for point in panel.points if isinstance(point[0], int | float)]
    base, linestyle = panel.base, "-"
    if len(points) < len(panel.points) - 1 or not points:  # words on the axis, but for one that can be a level
        points = [(place, mean, spread) for place, (_, mean, spread) in enumerate(panel.points)]
        axes.set_xticks(range(len(points)), [str(value) for value, _, _ in panel.points], rotation=40, ha="right")
        base = points[panel.points.index(panel.base)] if panel.base else None
        linestyle = "none"
    else:
        _mark_numbers(axes, [value for value, _, _ in points])
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
        style.ring(axes, base[0], base[1])


def _mark_numbers(axes: "Axes", values: list[float]) -> None:
    """Ticks at the values that were tried, on a logarithmic axis where they span much."""
    shown = sorted(set(values))
    if min(values) > 0 and max(values) > DECADE * min(values):
        from matplotlib.ticker import NullLocator

        axes.set_xscale("log")
        shown = _apart(shown)
        axes.xaxis.set_minor_locator(NullLocator())
    elif len(values) > FEW and not all(isinstance(value, int) for value in values):
        return
    axes.set_xticks(shown, [f"{value:g}" for value in shown])


def _apart(values: list[float]) -> list[float]:
    """Of positive values, by size, those that stand far enough apart on a logarithmic axis to be written below it."""
    kept: list[float] = []
    for value in values:
        if not kept or value / kept[-1] > (max(values) / min(values)) ** 0.14:
            kept.append(value)
    return kept
