"""What a method loses to noise over what it costs, a point each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
LEADER = {"arrowstyle": "-", "color": "#C8C8C8", "linewidth": 0.7, "shrinkB": 4, "relpos": (0, 0.5)}


@dataclass(frozen=True)
class Point:
    """A method: its cost relative to the baseline, what it loses from clean pairs, and that difference's spread."""

    name: str
    cost: float
    lost: float
    spread: float


def draw_points(points: list[Point], title: str, subtitle: str, xlabel: str, ylabel: str) -> "Figure":
    """The lower and the further left the better; costs on a logarithmic axis, names at the right, each with a line to
    its point."""
    made, [axes] = style.figure(7.2, max(4.2, 1.6 + 0.24 * len(points)))
    style.head(made, title, subtitle)
    if not points:
        style.nothing(axes)
        return made
    highest = max(point.lost + point.spread for point in points)
    lowest = min(0.0, *(point.lost - point.spread for point in points))
    left, right = min(point.cost for point in points) / 1.2, max(point.cost for point in points) * 1.2
    low, high = lowest - 0.05 * (highest - lowest), highest + 0.05 * (highest - lowest)
    gap = 0.24 / (made.get_size_inches()[1] - 1.4) * (high - low)
    heights = style.spread([point.lost for point in points], gap, low + gap, high)
    for number, (point, height) in enumerate(zip(points, heights, strict=True)):
        colour = style.COLOURS[number % len(style.COLOURS)]
        marker = style.MARKERS[number % len(style.MARKERS)]
        axes.errorbar(
            point.cost, point.lost, yerr=point.spread or None, fmt=marker, color=colour, elinewidth=1, capsize=2
        )
        axes.annotate(
            point.name, (point.cost, point.lost), (right, height), textcoords="data", va="center", fontsize=8.5,
            color=style.INK, arrowprops=LEADER,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(left, right * (right / left) ** 0.65)  # room for the names
    axes.set_xticks([tick for tick in TICKS if left <= tick <= right])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(low, high)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return made
