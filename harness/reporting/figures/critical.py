"""Mean ranks on a line, and bars over those that a critical difference does not tell apart."""

from typing import TYPE_CHECKING

import numpy as np

from harness.evaluation.ranking import Ranking
from harness.reporting.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_ranks(names: list[str], found: Ranking | None, title: str, subtitle: str) -> "Figure":
    """The best on top: a dot at each mean rank, its name at the left, a bar beside each group that is not told apart.

    found: None where there are too few results.
    """
    groups = found.alike if found else []
    made, [axes] = style.figure(7.2, 1.6 + 0.28 * len(names))
    style.head(made, title, subtitle)
    if found is None:
        style.nothing(axes)
        return made
    order = np.argsort(found.means, kind="stable")
    height = {int(method): place for place, method in enumerate(order)}
    axes.grid(visible=False)
    axes.hlines(range(len(names)), 1, found.means[order], color="#E4E4E4", linewidth=0.8)
    axes.plot(found.means[order], range(len(names)), "o", color=style.COLOURS[0])
    for place, method in enumerate(order):
        axes.annotate(
            f"{found.means[method]:.2f}", (found.means[method], place), (7, 0), textcoords="offset points", va="center",
            fontsize=8, color=style.INK,
        )  # fmt: skip
    right = len(names) + 0.6
    for number, group in enumerate(groups):
        rows = [height[method] for method in group]
        x = right + 0.35 * number
        axes.plot([x, x], [min(rows) - 0.25, max(rows) + 0.25], color=style.INK, linewidth=3, solid_capstyle="butt")
    axes.plot([1, 1 + found.difference], [-1, -1], color=style.COLOURS[1], linewidth=2, solid_capstyle="butt")
    axes.annotate(
        f"critical difference {found.difference:.2f}", (1 + found.difference, -1), (6, 0), textcoords="offset points",
        va="center", fontsize=8, color=style.COLOURS[1],
    )  # fmt: skip
    axes.set_yticks(range(len(names)), [names[method] for method in order])
    axes.set_ylim(len(names) - 0.4, -1.6)  # the best on top
    axes.set_xlim(0.7, right + 0.35 * len(groups) + 0.3)
    axes.set_xticks(range(1, len(names) + 1))
    axes.set_xlabel("Mean rank; black bars join what is not told apart")
    return made
