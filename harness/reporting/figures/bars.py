"""A metric by the values of one axis, as bars from zero with their figures; side by side for those of another axis."""

from typing import TYPE_CHECKING

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Bar = tuple[float, float] | None  # mean and standard deviation over seeds (0 for one seed); None: no run yet


def draw_bars(rows: dict[str, dict[str, Bar]], title: str, subtitle: str, xlabel: str) -> "Figure":
    """Horizontal bars, so that long names can be read; a missing one is an empty place with a dash.

    rows: name of the row -> name of the series ("" where there is one alone) -> bar.
    """
    from matplotlib.patches import Patch

    series = list(dict.fromkeys(name for row in rows.values() for name in row))
    colours = {name: style.COLOURS[number % len(style.COLOURS)] for number, name in enumerate(series)}
    thick = 0.8 / len(series)
    made, [axes] = style.figure(7.2, 1.5 + len(rows) * max(0.34, 0.2 * len(series)))
    style.head(made, title, subtitle)
    axes.grid(visible=False)
    axes.set_xlabel(xlabel)
    longest = max((bar[0] + bar[1] for row in rows.values() for bar in row.values() if bar), default=1.0)
    for number, name in enumerate(series):
        for place, row in enumerate(rows.values()):
            if name not in row:
                continue
            height, bar = place + (number - (len(series) - 1) / 2) * thick, row[name]
            if bar is not None:
                axes.barh(
                    height, bar[0], height=0.92 * thick, color=colours[name], xerr=bar[1] or None,
                    error_kw={"elinewidth": 1.0, "capsize": 2.0, "ecolor": style.INK},
                )  # fmt: skip
            axes.annotate(
                f"{bar[0]:.1f}" if bar else "–", (bar[0] + bar[1] if bar else 0.0, height), (4, 0),
                textcoords="offset points", va="center", fontsize=8, color=style.INK if bar else style.GREY,
            )  # fmt: skip
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlim(0, 1.1 * longest)
    axes.set_ylim(len(rows) - 0.4, -0.6)  # the first on top
    if series != [""]:
        style.legend(made, {name: Patch(color=colour) for name, colour in colours.items()})
    return made
