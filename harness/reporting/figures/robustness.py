"""What a method loses to noise over what it costs, a point each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LEADER = {"arrowstyle": "-", "color": "#C8C8C8", "linewidth": 0.7, "shrinkB": 4, "relpos": (0, 0.5)}


@dataclass(frozen=True)
class Point:
    """A method: its cost relative to the baseline, what it loses from clean pairs, and that difference's spread."""

    name: str
    cost: float
    lost: float
    spread: float


def draw_points(points: list[Point], title: str, subtitle: str, xlabel: str, ylabel: str) -> "Figure":
    """The lower and the further left the better; names at the right edge, each with a line to its point."""
    made, [axes] = style.figure(7.2, max(4.2, 1.6 + 0.24 * len(points)))
    style.head(made, title, subtitle)
    if not points:
        style.nothing(axes)
        return made
    highest = max(point.lost + point.spread for point in points)
    lowest = min(0.0, *(point.lost - point.spread for point in points))
    right = max(point.cost for point in points)
    low, high = lowest - 0.05 * (highest - lowest), highest + 0.05 * (highest - lowest)
    gap = 0.24 / (made.get_size_inches()[1] - 1.4) * (high - low)
    heights = style.spread([point.lost for point in points], gap, low, high)
    edge = right * 1.12
    for number, (point, height) in enumerate(zip(points, heights, strict=True)):
        colour = style.COLOURS[number % len(style.COLOURS)]
        marker = style.MARKERS[number % len(style.MARKERS)]
        axes.errorbar(
            point.cost, point.lost, yerr=point.spread or None, fmt=marker, color=colour, elinewidth=1, capsize=2
        )
        axes.annotate(
            point.name, (point.cost, point.lost), (edge, height), textcoords="data", va="center", fontsize=8.5,
            color=style.INK, arrowprops=LEADER,
        )  # fmt: skip
    axes.set_xlim(0, right * 1.5)
    axes.set_ylim(low, high)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return made
