"""A metric over an axis of numbers, one line a method: ours filled and solid, published hollow and dashed."""

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Looks = dict[tuple[str, bool], dict[str, Any]]

COLUMNS = 4  # panels beside each other; more go in rows of three


@dataclass
class Line:
    """One line of a panel.

    Attributes:
        name: what it is called.
        ours: x, mean and spread over seeds.
        published: x and value.
        literature: nothing but published numbers were asked for.
        strong: drawn stronger than the others.
    """

    name: str
    ours: list[tuple[float, float, float]] = field(default_factory=list)
    published: list[tuple[float, float]] = field(default_factory=list)
    literature: bool = False
    strong: bool = False

    @property
    def look(self) -> tuple[str, bool]:
        """What has the same colour and marker in every panel."""
        return self.name, self.literature

    @property
    def title(self) -> str:
        return self.name if self.ours else f"{self.name} (published)"


def draw_lines(
    panels: dict[str, list[Line]], title: str, subtitle: str, xlabel: str, ylabel: str, *, percent: bool
) -> "Figure":
    """The lines of each panel by its name; with nothing finished yet it says so.

    percent: x is a share, written in percent at every place that has a value.
    """
    from matplotlib.lines import Line2D

    every = [line for panel in panels.values() for line in panel]
    if any(line.published for line in every):
        subtitle += "; filled, solid: ours; hollow, dashed: published"
    looks = _looks(every)
    if len(panels) == 1:
        made, [axes] = style.figure(7.2, 4.4)
        style.head(made, title, subtitle)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        _draw_panel(axes, every, looks, percent)
        if every:
            _name_ends(axes, every, looks)
        return made
    columns = len(panels) if len(panels) <= COLUMNS else 3
    made, several = style.panels(len(panels), columns, 1.0, 3.0, 1.4, 2.9)
    style.head(made, title, subtitle)
    bottom = (len(panels) - 1) // columns * columns  # where the last row begins
    for number, (axes, (name, lines)) in enumerate(zip(several, panels.items(), strict=True)):
        axes.set_title(name, fontsize=10)
        axes.set(xlabel=xlabel if number >= bottom else "", ylabel="" if number % columns else ylabel)
        _draw_panel(axes, lines, looks, percent)
    style.legend(made, {line.title: Line2D([], [], **looks[line.look]) for line in every})
    return made


def _draw_panel(axes: "Axes", lines: list[Line], looks: Looks, percent: bool) -> None:
    if not lines:
        style.nothing(axes)
        return
    for line in lines:
        if line.published:
            x, y = zip(*line.published, strict=True)
            axes.plot(x, y, linestyle="--", linewidth=1.1, markerfacecolor="white", zorder=3, **looks[line.look])
        if line.ours:
            x, y, spread = zip(*line.ours, strict=True)
            axes.errorbar(
                x, y, spread if any(spread) else None, linewidth=2.6 if line.strong else 1.6, capsize=2.5,
                elinewidth=1.0, zorder=5 if line.strong else 4, **looks[line.look],
            )  # fmt: skip
    if percent:
        ticks = sorted({point[0] for line in lines for point in (*line.ours, *line.published)})
        axes.set_xticks(ticks, [f"{100 * x:g} %" for x in ticks])


def _looks(lines: list[Line]) -> Looks:
    """A colour and marker for each; grey for what only the literature has."""
    ours = cycle(zip(style.COLOURS, style.MARKERS, strict=True))
    others = cycle(style.MARKERS)
    looks: Looks = {}
    for line in lines:
        if line.look not in looks:
            colour, marker = (style.GREY, next(others)) if line.literature else next(ours)
            looks[line.look] = {"color": colour, "marker": marker}
    return looks


def _name_ends(axes: "Axes", lines: list[Line], looks: Looks) -> None:
    """Each line's name at its right end, moved up or down where names would overlap."""
    low, high = axes.get_ylim()
    ends = [max(line.ours)[:2] if line.ours else max(line.published) for line in lines]
    heights = [0.0] * len(ends)
    for x in {x for x, _ in ends}:
        here = [number for number, end in enumerate(ends) if end[0] == x]
        placed = style.spread([ends[number][1] for number in here], 0.058 * (high - low), low, high)
        for number, height in zip(here, placed, strict=True):
            heights[number] = height
    for line, (x, _), height in zip(lines, ends, heights, strict=True):
        axes.annotate(
            line.title, (x, height), (10, 0), textcoords="offset points", va="center", annotation_clip=False,
            color=looks[line.look]["color"], fontweight="bold" if line.strong else "normal",
        )  # fmt: skip
    axes.set_ylim(low, high)
