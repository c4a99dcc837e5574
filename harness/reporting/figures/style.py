"""How figures look, and how they are saved so that the same data gives the same bytes."""

import re
import textwrap
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
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
GRID = "#E4E4E4"

# What a page shows in place of these colours where it is dark: paper and ink change places, the hues grow lighter.
DARK = {
    "#ffffff": "#1d2024", INK: "#dcdfe3", "#000000": "#dcdfe3", GREY: "#98a0a9", GRID: "#343a41",
    "#0072b2": "#4ba6e0", "#d55e00": "#f0884a", "#009e73": "#35c79a",
}  # fmt: skip
TITLE, SUBTITLE = "title", "subtitle"  # ids of the texts that `head` puts over a figure

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
    "grid.color": GRID,
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
        (text, 11.5, 0.2, {"fontweight": "bold", "color": INK, "gid": TITLE}),
        (subtitle, 8.5, 0.15, {"color": GREY, "gid": SUBTITLE}),
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
    """A figure as the address of an image that holds all of it, what it shows in words, its width and height in CSS
    pixels, and what is to stand below it."""

    address: str
    words: str
    width: int
    height: int
    caption: str = ""


def draw_inline(figure: "Figure", name: str, *, titled: bool = True) -> Drawing:
    """A figure for a page, the same bytes for the same figure; its colours follow the page from light to dark.

    name: what it is of, for those who cannot see it. titled: with the head that it has as a file; without, the page
    says the title, and the subtitle is the caption.
    """
    axes = [(each.get_xlabel(), each.get_ylabel()) for each in figure.axes]
    said = dict.fromkeys(" ".join((f"{y} against {x}" if x and y else x or y).split()) for x, y in axes)
    words = "; ".join(word for word in said if word)
    file, caption = BytesIO(), ""
    if titled:
        size = figure.get_size_inches()
        save(figure, file, "svg")
    else:
        caption = " ".join(text.get_text() for text in figure.texts if text.get_gid() == SUBTITLE)
        with _beheaded(figure):
            size = figure.get_size_inches()
            save(figure, file, "svg")
    address = "data:image/svg+xml;base64," + b64encode(_follow_scheme(file.getvalue().decode()).encode()).decode()
    width, height = (round(96 * side) for side in size)
    return Drawing(address, f"{name}: {words}" if words else name, width, height, caption)


@contextmanager
def _beheaded(figure: "Figure") -> Iterator[None]:
    """A figure without what `head` put over it, and without its room."""
    texts = [text for text in figure.texts if text.get_gid() in (TITLE, SUBTITLE)]
    engine: Any = figure.get_layout_engine()
    rect, (width, height) = engine.get()["rect"], figure.get_size_inches()
    try:
        for text in texts:
            text.set_visible(False)
        engine.set(rect=(0, 0, 1, 1))
        figure.set_size_inches(width, height * rect[3])
        yield
    finally:
        for text in texts:
            text.set_visible(True)
        engine.set(rect=rect)
        figure.set_size_inches(width, height)


def _follow_scheme(svg: str) -> str:
    """An SVG whose colours are those of `DARK` where the page that shows it is dark: an image follows the colour scheme
    of the element that it stands in."""
    dark = {colour.lower(): other for colour, other in DARK.items()}
    values = "".join(f"--c{colour[1:]}: {other}; " for colour, other in dark.items())
    style = f"<style>@media (prefers-color-scheme: dark) {{ svg {{ {values}fill: {dark['#000000']} }} }}</style>"
    named = re.sub(
        r"(?<=[:=\s\"])#[0-9a-f]{6}\b",
        lambda found: f"var(--c{found[0][1:]}, {found[0]})" if found[0] in dark else found[0],
        svg,
    )
    return named.replace("<defs>", f"{style}<defs>", 1)


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
