"""How similarities and labels of clean and of noisy training pairs lie, beside each other. The truth colours them; no
method saw it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = {"similarity": "similarity", "match": "match (P + Q) / 2", "label": "correspondence label"}
COLOURS = {"clean": style.COLOURS[0], "noisy": style.COLOURS[1]}


def draw_labels(
    histograms: pd.DataFrame, words: Mapping[tuple[str, str], str], names: list[str], title: str, subtitle: str
) -> "Figure":
    """A row of three panels for each name; the panels of a column share their axes.

    Args:
        histograms: panel, quantity, pairs (a kind of them), from, to, percent of these pairs: one line a bin.
        words: (panel, quantity) -> its AUC, or why the panel is empty.
        names: of the panels.
        title, subtitle: of the figure.
    """
    from matplotlib.patches import Patch

    made, axes = style.figure(8.6, 1.2 + 1.9 * len(names), len(names), 3, sharex="col", sharey="col")
    style.head(made, title, f"{subtitle}; each kind of pair sums to 100 %; the first finished seed is drawn")
    for column, (quantity, heading) in enumerate(QUANTITIES.items()):
        for line, name in enumerate(names):
            each = axes[3 * line + column]
            here = histograms[(histograms["panel"] == name) & (histograms["quantity"] == quantity)]
            _draw_panel(each, here, words[name, quantity])
            if line == 0:
                each.set_title(heading, fontsize=10)
            if column == 0:
                each.set_ylabel(f"{name}\n% of pairs")
        axes[column].set_ylim(0, 1.2 * axes[column].get_ylim()[1])  # room for the AUC
    style.legend(made, {f"{kind} pairs": Patch(color=colour, alpha=0.55) for kind, colour in COLOURS.items()})
    return made


def _draw_panel(axes: "Axes", histogram: pd.DataFrame, words: str) -> None:
    if histogram.empty:
        style.nothing(axes, words)
        return
    for kind, bins in histogram.groupby("pairs", sort=False):
        shares, edges = bins["percent of these pairs"], [*bins["from"], bins["to"].iloc[-1]]
        axes.stairs(shares, edges, fill=True, alpha=0.45, color=COLOURS[str(kind)])
        axes.stairs(shares, edges, color=COLOURS[str(kind)], linewidth=1.2)
    axes.text(0.5, 0.96, words, transform=axes.transAxes, ha="center", va="top", fontsize=9)
