"""How figures look, and how they are saved so that the same data gives the same bytes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every common kind of colour blindness; with black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
INK = "#222222"

STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same everywhere
    "font.size": 10.0,
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


def figure(width: float, height: float, rows: int = 1, *, sharex: bool = False) -> "tuple[Figure, list[Axes]]":
    """An empty figure in this style, without pyplot's global state; its axes from the top."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, 1, squeeze=False, sharex=sharex)
    return made, list(axes.flat)


def title(axes: "Axes", text: str, subtitle: str = "") -> None:
    """A bold title at the left, with a small grey line below it."""
    axes.set_title(text, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=24 if subtitle else 10)
    axes.annotate(
        subtitle,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
        color=GREY,
    )


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
    blocks: list[list[float]] = []  # [sum of the heights that its labels want for the first, how many]
    for i in order:
        blocks.append([wanted[i], 1.0])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > blocks[-1][0] / blocks[-1][1] + 1e-12:
            total, count = blocks.pop()
            blocks[-1][0] += total - count * blocks[-1][1] * gap
            blocks[-1][1] += count
    placed = [total / count + step * gap for total, count in blocks for step in range(int(count))]
    ceiling = high
    for place in reversed(range(len(placed))):
        placed[place] = min(placed[place], ceiling)
        ceiling = placed[place] - gap
    floor = low
    for place in range(len(placed)):
        placed[place] = max(placed[place], floor)
        floor = placed[place] + gap
    heights = dict(zip(order, placed, strict=True))
    return [heights[number] for number in range(len(wanted))]


def _top(block: list[float], gap: float) -> float:
    return block[0] / block[1] + (block[1] - 1) * gap
