"""How figures look, and how they are saved so that the same data gives the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every common kind of colour blindness; with black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
INK = "#222222"

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same everywhere
    "font.size": 10.0,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "text.color": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "harness",
    "svg.fonttype": "path",
}


def figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **more: object
) -> "tuple[Figure, list[Axes]]":
    """An empty figure in this style, without pyplot's global state; its axes in reading order."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False, **more)
    return made, list(axes.flat)


def save(made: "Figure", path: Path) -> None:
    """PNG (at 160 dots per inch) or SVG by the path's ending, without dates or versions in the file."""
    import matplotlib

    nothing = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(STYLE):
        made.savefig(path, dpi=160, metadata=nothing)


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for labels that would like to stand at `wanted` but need `gap` between them, within low..high.

    Moves them as little as this needs, keeps their order, and where there is no room makes the gap smaller.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    blocks: list[list[float]] = []  # [sum of the heights wanted for the block's first label, labels]
    for i in order:
        blocks.append([min(max(wanted[i], low), high), 1.0])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > blocks[-1][0] / blocks[-1][1] + 1e-12:
            total, count = blocks.pop()
            blocks[-1][0] += total - count * blocks[-1][1] * gap
            blocks[-1][1] += count
    heights = [0.0] * len(wanted)
    place = 0
    for total, count in blocks:
        first = min(max(total / count, low), high - (count - 1) * gap)
        for step in range(int(count)):
            heights[order[place]] = first + step * gap
            place += 1
    return heights


def _top(block: list[float], gap: float) -> float:
    return block[0] / block[1] + (block[1] - 1) * gap
