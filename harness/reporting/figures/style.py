"""How figures look, and how they are saved so that the same data gives the same bytes."""

import textwrap
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Okabe and Ito's colours, which people with any common colour blindness can tell apart; black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#767676"
INK = "#222222"

Kind = Literal["png", "svg", "pdf"]
ABOUT: dict[Kind, tuple[str, ...]] = {  # what matplotlib would write into a file of its version and of the time
    "png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("Creator", "Producer", "CreationDate"),
}  # fmt: skip

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
    "pdf.fonttype": 42,  # TrueType: text stays text, and conferences refuse Type 3
}


def figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, sharex: Any = False, sharey: Any = False
) -> "tuple[Figure, list[Axes]]":
    """An empty figure in this style, without pyplot's global state; its axes row by row from the top."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return made, list(axes.flat)


def panels(
    count: int, columns: int, left: float, wide: float, top: float, high: float, *, narrowest: float = 0.0
) -> "tuple[Figure, list[Axes]]":
    """A figure of `count` panels on one scale, `columns` beside each other, each `wide` and `high` (in inches)."""
    rows = -(-count // columns)
    made, axes = figure(max(narrowest, left + wide * columns), top + high * rows, rows, columns, sharey=True)
    for each in axes[count:]:
        each.set_axis_off()
    return made, axes[:count]


def head(made: "Figure", text: str, subtitle: str = "") -> None:
    """A bold title at the figure's left, with a small grey line below it; what is too long goes on below."""
    from matplotlib.transforms import ScaledTranslation

    width, height = made.get_size_inches()
    top = 0.08  # inches, of what comes next
    looks: list[tuple[str, float, float, dict[str, Any]]] = [
        (text, 11.5, 0.2, {"fontweight": "bold", "color": INK}),
        (subtitle, 8.5, 0.15, {"color": GREY}),
    ]
    for words, size, line, look in looks:
        letters = int((width - 0.2) / (0.0088 * size))  # each about 0.63 of its size, which is in points, wide
        for part in textwrap.wrap(words, letters):
            at = made.transFigure + ScaledTranslation(0.08, -top, made.dpi_scale_trans)
            made.text(0, 1, part, transform=at, va="top", fontsize=size, **look)
            top += line
        top += 0.04
    made.set_layout_engine("constrained", rect=(0, 0, 1, 1 - top / height), w_pad=0.08)


def nothing(axes: "Axes", words: str = "no finished runs yet") -> None:
    """A panel that says why it is empty; its ticks go where no other panel shares them."""
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=9)
    if len(axes.get_shared_x_axes().get_siblings(axes)) == 1:
        axes.set_xticks([])
    if len(axes.get_shared_y_axes().get_siblings(axes)) == 1:
        axes.set_yticks([])


def legend(made: "Figure", looks: dict[str, Any]) -> None:
    """What each colour or mark stands for (name -> artist), below the panels."""
    if looks:
        columns = min(len(looks), 5) if len(looks) != 6 else 3  # no line with one name alone
        made.legend(
            looks.values(), looks.keys(), loc="outside lower center", ncols=columns, frameon=False, fontsize=9.5
        )


def title(axes: "Axes", text: str, subtitle: str = "") -> None:
    """A bold title at the left, with a small grey line below it."""
    axes.set_title(text, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=24 if subtitle else 10)
    axes.annotate(
        subtitle, (0, 1), (0, 8), xycoords="axes fraction", textcoords="offset points", fontsize=8.5, color=GREY
    )


def save(made: "Figure", file: Path | BinaryIO, kind: Kind) -> None:
    """PNG at 160 dots per inch, SVG, or PDF whose text can be selected; without dates or versions in the file."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        made.savefig(file, format=kind, dpi=160, metadata=dict.fromkeys(ABOUT[kind]))


def save_all(made: "Figure", stem: Path) -> list[Path]:
    """STEM.png, STEM.svg and STEM.pdf."""
    files = {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ABOUT}
    for kind, file in files.items():
        save(made, file, kind)
    return list(files.values())


@dataclass(frozen=True)
class Drawing:
    """A figure as the address of an image that holds all of it, what it shows in words, its width in CSS pixels."""

    address: str
    words: str
    width: int


def draw_inline(figure: "Figure", name: str) -> Drawing:
    """A figure for a page, the same bytes for the same figure. `name`: what it is of, for those who cannot see it."""
    axes = [(each.get_xlabel(), each.get_ylabel()) for each in figure.axes]
    said = dict.fromkeys(" ".join((f"{y} against {x}" if x and y else x or y).split()) for x, y in axes)
    words = "; ".join(word for word in said if word)
    file = BytesIO()
    save(figure, file, "svg")
    address = "data:image/svg+xml;base64," + b64encode(file.getvalue()).decode()
    return Drawing(address, f"{name}: {words}" if words else name, round(96 * figure.get_size_inches()[0]))


def ring(axes: "Axes", x: float, y: float) -> "Line2D":
    """Around a point that stands for something else: the base run, the paper's values."""
    [drawn] = axes.plot(
        x, y, "o", markersize=10, markerfacecolor="none", color=COLOURS[1], markeredgewidth=1.6, linestyle="none"
    )
    return drawn


def spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Heights for names that would like to stand at `wanted` but need `gap` between them, within low..high.

    Moves them as little as this needs (in the sum of squares), keeps their order, and where there is no room makes the
    gap smaller.
    """
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(wanted, kind="stable")
    steps = min(gap, (high - low) / max(len(wanted) - 1, 1)) * np.arange(len(wanted))
    placed = isotonic_regression(np.array(wanted)[order] - steps, y_min=low, y_max=high - max(steps, default=0)) + steps
    heights = np.empty(len(wanted))
    heights[order] = placed
    return heights.tolist()
